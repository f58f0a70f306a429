// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// errWire says that a message is not protobuf.
var errWire = errors.New("malformed protobuf")

// Wire types (protobuf.dev/programming-guides/encoding).
const (
	wireVarint = iota
	wireFixed64
	wireBytes
	wireStartGroup
	wireEndGroup
	wireFixed32
)

const (
	maxFieldNumber = 1<<29 - 1
	maxGroupDepth  = 10000 // as google.golang.org/protobuf
)

// field is one field of a message as it was on the wire.
type field struct {
	num    uint64
	typ    uint64
	varint uint64 // of a wireVarint
	bytes  []byte // of a wireBytes; points into the message
}

// next cuts the first field off a message.
func next(b []byte) (f field, rest []byte, err error) {
	tag, n := uvarint(b)
	if n == 0 {
		return f, nil, errWire
	}
	f.num, f.typ, b = tag>>3, tag&7, b[n:]
	if f.num < 1 || f.num > maxFieldNumber {
		return f, nil, errWire
	}
	switch f.typ {
	case wireVarint:
		if f.varint, n = uvarint(b); n == 0 {
			return f, nil, errWire
		}
		return f, b[n:], nil
	case wireBytes:
		size, n := uvarint(b)
		if n == 0 || size > uint64(len(b)-n) {
			return f, nil, errWire
		}
		f.bytes = b[n : n+int(size)]
		return f, b[n+int(size):], nil
	case wireStartGroup:
		rest, err = skipGroup(b, f.num)
		return f, rest, err
	}
	rest, err = skipFixed(b, f.typ)
	return f, rest, err
}

func skipFixed(b []byte, typ uint64) ([]byte, error) {
	size := 4
	switch typ {
	case wireFixed64:
		size = 8
	case wireFixed32:
	default: // an end of no group, or one of the two types there are not
		return nil, errWire
	}
	if len(b) < size {
		return nil, errWire
	}
	return b[size:], nil
}

// skipGroup returns what follows the end of the group num, whose start was cut
// off already.
func skipGroup(b []byte, num uint64) ([]byte, error) {
	open := []uint64{num}
	for len(open) > 0 {
		tag, n := uvarint(b)
		if n == 0 || tag>>3 < 1 || tag>>3 > maxFieldNumber {
			return nil, errWire
		}
		switch tag & 7 {
		case wireStartGroup:
			if len(open) >= maxGroupDepth {
				return nil, errWire
			}
			open, b = append(open, tag>>3), b[n:]
		case wireEndGroup:
			if tag>>3 != open[len(open)-1] {
				return nil, errWire
			}
			open, b = open[:len(open)-1], b[n:]
		default:
			var err error
			if _, b, err = next(b); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// uvarint is binary.Uvarint with n == 0 for every error.
func uvarint(b []byte) (v uint64, n int) {
	v, n = binary.Uvarint(b)
	return v, max(n, 0)
}

// text returns a string field, which proto3 wants to be UTF-8.
func (f *field) text() (string, error) {
	if !utf8.Valid(f.bytes) {
		return "", errWire
	}
	return string(f.bytes), nil
}

func appendVarint(b []byte, num, v uint64) []byte {
	b = binary.AppendUvarint(b, num<<3+wireVarint)
	return binary.AppendUvarint(b, v)
}

func appendString(b []byte, num uint64, s string) []byte {
	b = binary.AppendUvarint(b, num<<3+wireBytes)
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
