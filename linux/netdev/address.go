// SPDX-License-Identifier: Apache-2.0

package netdev

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// address is one that a device keeps on its way.
type address struct {
	header [unix.SizeofIfAddrmsg]byte // struct ifaddrmsg: family, prefix, flags, scope, index
	attrs  attrs
}

// kept are the attributes of an address that are its own and not its device's or
// its lifetime's: the label names the device.
var kept = []uint16{unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST, unix.IFA_RT_PRIORITY}

// keptFlags are the flags that somebody has set, and not the kernel.
const keptFlags = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_NOPREFIXROUTE

// addresses are the permanent ones of global scope (IFA_F_PERMANENT,
// RT_SCOPE_UNIVERSE) of the device.
func (c *conn) addresses(index int32) (list []address, err error) {
	answers, err := c.ask(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return nil, err
	}
	for _, m := range answers {
		if m.kind != unix.RTM_NEWADDR || len(m.body) < unix.SizeofIfAddrmsg {
			continue
		}
		a := address{attrs: parseAttrs(m.body[unix.SizeofIfAddrmsg:])}
		copy(a.header[:], m.body)
		if int32(binary.NativeEndian.Uint32(a.header[4:])) == index && a.flags()&unix.IFA_F_PERMANENT != 0 && a.header[3] == unix.RT_SCOPE_UNIVERSE {
			list = append(list, a)
		}
	}
	return list, nil
}

// flags are those of IFA_FLAGS, or where it is missing the eight of the header.
func (a *address) flags() uint32 {
	if v := a.attrs[unix.IFA_FLAGS]; len(v) >= 4 {
		return binary.NativeEndian.Uint32(v)
	}
	return uint32(a.header[2])
}

// add gives the address to a device. One that is there already is no error: it may
// come with the device.
func (c *conn) add(index int32, a *address) error {
	b := append([]byte(nil), a.header[:]...)
	b[2] = 0
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	for _, kind := range kept {
		if v, ok := a.attrs[kind]; ok {
			b = appendAttr(b, kind, v)
		}
	}
	b = appendUint32(b, unix.IFA_FLAGS, a.flags()&keptFlags)
	_, err := c.ask(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}
