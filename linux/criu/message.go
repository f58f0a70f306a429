// SPDX-License-Identifier: Apache-2.0

package criu

import "google.golang.org/protobuf/encoding/protowire"

// message is a protobuf message being encoded. A zero value adds nothing: for criu, a
// missing field has its default.
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

// field is one field of a received message: number holds a varint, bytes a string or a
// message.
type field struct {
	num    protowire.Number
	number uint64
	bytes  []byte
}

// fields calls f for each field, except those of types that criu does not use.
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
