// SPDX-License-Identifier: Apache-2.0

package netdev

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// address is an address that a device keeps when it moves.
type address struct {
	header [unix.SizeofIfAddrmsg]byte // struct ifaddrmsg: family, prefix, flags, scope, index
	attrs  attrs
}

// ownAttrs lists the attributes of an address that do not depend on its device or its
// lifetime. IFA_LABEL is not among them: it names the device.
var ownAttrs = []uint16{unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST, unix.IFA_RT_PRIORITY}

// userFlags are the flags that a user sets, and not the kernel.
const userFlags = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_NOPREFIXROUTE

// addresses returns the device's permanent addresses of global scope (IFA_F_PERMANENT,
// RT_SCOPE_UNIVERSE).
func (c *conn) addresses(index int32) (list []address, err error) {
	ask := make([]byte, unix.SizeofIfAddrmsg)
	binary.NativeEndian.PutUint32(ask[4:], uint32(index))
	answers, err := c.ask(unix.RTM_GETADDR, unix.NLM_F_DUMP, ask)
	if err != nil {
		return nil, err
	}
	for _, m := range answers {
		if m.kind != unix.RTM_NEWADDR || len(m.body) < unix.SizeofIfAddrmsg {
			continue
		}
		a := address{attrs: parseAttrs(m.body[unix.SizeofIfAddrmsg:])}
		copy(a.header[:], m.body)
		device := int32(binary.NativeEndian.Uint32(a.header[4:]))
		permanent := a.flags()&unix.IFA_F_PERMANENT != 0
		if device == index && permanent && a.header[3] == unix.RT_SCOPE_UNIVERSE {
			list = append(list, a)
		}
	}
	return list, nil
}

// flags returns IFA_FLAGS or, without it, the eight flags of the header.
func (a *address) flags() uint32 {
	if v := a.attrs[unix.IFA_FLAGS]; len(v) >= 4 {
		return binary.NativeEndian.Uint32(v)
	}
	return uint32(a.header[2])
}

// add adds the address to a device. An address that is already there is no error: it may
// move with the device.
func (c *conn) add(index int32, a *address) error {
	b := append([]byte(nil), a.header[:]...)
	b[2] = 0
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	for _, kind := range ownAttrs {
		if v, ok := a.attrs[kind]; ok {
			b = appendAttr(b, kind, v)
		}
	}
	b = appendUint32(b, unix.IFA_FLAGS, a.flags()&userFlags)
	_, err := c.ask(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}
