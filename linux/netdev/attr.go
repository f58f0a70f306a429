// SPDX-License-Identifier: Apache-2.0

package netdev

import "encoding/binary"

// attrs are rtnetlink attributes by type: length, type, value, padded to 4 bytes
// (rtnetlink(7)).
type attrs map[uint16][]byte

// maxAttr masks the flags out of a type (NLA_TYPE_MASK).
const maxAttr = 1<<14 - 1

func parseAttrs(b []byte) attrs {
	out := attrs{}
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		out[binary.NativeEndian.Uint16(b[2:])&maxAttr] = b[4:n]
		b = b[min(len(b), (n+3)&^3):]
	}
	return out
}

func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func appendUint32(b []byte, kind uint16, v uint32) []byte {
	return appendAttr(b, kind, binary.NativeEndian.AppendUint32(nil, v))
}

func appendName(b []byte, kind uint16, name string) []byte {
	return appendAttr(b, kind, append([]byte(name), 0))
}
