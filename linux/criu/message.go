// SPDX-License-Identifier: Apache-2.0

package criu

import "google.golang.org/protobuf/encoding/protowire"

// message is a protobuf message on its way. A zero value adds nothing: to criu a
// missing field is its default.
type message []byte

func (m *message) flag(field protowire.Number, v bool) {
	if v {
		m.number(field, 1)
	}
}

// number adds an int32, uint32, bool or enum, zero or not.
func (m *message) number(field protowire.Number, v int64) {
	*m = protowire.AppendTag(*m, field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(v))
}

func (m *message) text(field protowire.Number, s string) {
	if s != "" {
		*m = protowire.AppendTag(*m, field, protowire.BytesType)
		*m = protowire.AppendString(*m, s)
	}
}

// message adds a message, empty or not.
func (m *message) message(field protowire.Number, sub message) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendBytes(*m, sub)
}

// field is one field of a message that was received: number for a varint, bytes
// for a string or a message.
type field struct {
	num    protowire.Number
	number uint64
	bytes  []byte
}

// fields calls f for each field. Fields of the types that criu does not use are
// left out.
func fields(b []byte, f func(field) error) error {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		v := field{num: num}
		switch kind {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if kind != protowire.VarintType && kind != protowire.BytesType {
			continue
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}
