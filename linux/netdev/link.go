// SPDX-License-Identifier: Apache-2.0

package netdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// link is a device as its namespace shows it.
type link struct {
	index int32
	name  string
	up    bool
}

// ifInfo returns struct ifinfomsg, which precedes the attributes.
func ifInfo(index int32, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return b
}

func parseLink(m message) (l link, ok bool) {
	if m.kind != unix.RTM_NEWLINK || len(m.body) < unix.SizeofIfInfomsg {
		return link{}, false
	}
	l.index = int32(binary.NativeEndian.Uint32(m.body[4:]))
	l.up = binary.NativeEndian.Uint32(m.body[8:])&unix.IFF_UP != 0
	name, _, _ := bytes.Cut(parseAttrs(m.body[unix.SizeofIfInfomsg:])[unix.IFLA_IFNAME], []byte{0})
	l.name = string(name)
	return l, true
}

// find returns the device of that name, or ENODEV.
func (c *conn) find(name string) (link, error) {
	answers, err := c.ask(unix.RTM_GETLINK, 0, appendName(ifInfo(0, 0, 0), unix.IFLA_IFNAME, name))
	if err != nil {
		return link{}, err
	}
	for _, m := range answers {
		if l, ok := parseLink(m); ok && l.name == name { // and not only an alternative name
			return l, nil
		}
	}
	return link{}, unix.ENODEV
}

// at returns the device of that index, or ENODEV.
func (c *conn) at(index int32) (link, error) {
	answers, err := c.ask(unix.RTM_GETLINK, 0, ifInfo(index, 0, 0))
	if err != nil {
		return link{}, err
	}
	for _, m := range answers {
		if l, ok := parseLink(m); ok && l.index == index {
			return l, nil
		}
	}
	return link{}, unix.ENODEV
}

// free returns EEXIST if a device has the name.
func (c *conn) free(name string) error {
	switch _, err := c.find(name); {
	case errors.Is(err, unix.ENODEV):
		return nil
	case err != nil:
		return err
	}
	return unix.EEXIST
}

// setUp sets the device up.
func (c *conn) setUp(index int32) error {
	_, err := c.ask(unix.RTM_NEWLINK, 0, ifInfo(index, unix.IFF_UP, unix.IFF_UP))
	return err
}

// indexTries is how often push looks for an index that is free.
const indexTries = 16

// push moves a device to the namespace of an open file or socket, and gives it a name
// there, in one request. It returns the index that the device has there: wish, unless
// another device has that. It is chosen here and not by the kernel, so that nobody has to
// guess which of the devices there it is (IFLA_NEW_IFINDEX, Linux 5.13).
func (c *conn) push(index int32, name string, ns *os.File, wish int32) (at int32, err error) {
	const far = 1 << 16 // from the numbers that the kernel gives
	for try := range int32(indexTries) {
		at = wish + try*far
		err = sys.Control(ns, func(fd int) error {
			b := appendName(ifInfo(index, 0, 0), unix.IFLA_IFNAME, name)
			b = appendUint32(b, unix.IFLA_NET_NS_FD, uint32(fd))
			_, err := c.ask(unix.RTM_NEWLINK, 0, appendUint32(b, unix.IFLA_NEW_IFINDEX, uint32(at)))
			return err
		})
		if !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return at, err
}
