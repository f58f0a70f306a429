// SPDX-License-Identifier: Apache-2.0

package netdev

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// conn is a NETLINK_ROUTE socket of one network namespace.
type conn struct {
	f        *os.File
	seq      uint32
	received int // bytes, which tests look at
}

// dial opens a conn in the calling thread's network namespace.
func dial() (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket AF_NETLINK", err)
	}
	c := &conn{f: os.NewFile(uintptr(fd), "rtnetlink")}
	// A dump of addresses is of one device then (addresses), netlink(7), Linux 4.20.
	err = sys.Control(c.f, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	})
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("setsockopt", err), c.close())
	}
	return c, nil
}

// dialIn opens a conn in the network namespace ns.
func dialIn(ns *os.File) (c *conn, err error) {
	err = sys.OnThread(func() error {
		if err := sys.Setns(ns, unix.CLONE_NEWNET); err != nil {
			return err
		}
		c, err = dial()
		return err
	})
	return c, err
}

// message is one answer of the kernel.
type message struct {
	kind uint16
	body []byte
}

// ask sends a request and returns the answers, when the kernel has acknowledged the request
// or ended the dump. The error is the kernel's errno.
func (c *conn) ask(kind, flags uint16, body []byte) ([]message, error) {
	for {
		answers, err := c.askOnce(kind, flags, body)
		if !errors.Is(err, errInterrupted) {
			return answers, err
		}
	}
}

// errInterrupted says that something changed during a dump.
var errInterrupted = errors.New("dump interrupted")

func (c *conn) askOnce(kind, flags uint16, body []byte) ([]message, error) {
	c.seq++
	b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(body))
	flags |= unix.NLM_F_REQUEST
	if flags&unix.NLM_F_DUMP != unix.NLM_F_DUMP {
		flags |= unix.NLM_F_ACK
	}
	binary.NativeEndian.PutUint32(b[0:], uint32(cap(b)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], c.seq)
	b = append(b, body...)
	err := sys.Control(c.f, func(fd int) error {
		return sys.Retry(func() error { return unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) })
	})
	if err != nil {
		return nil, os.NewSyscallError("sendto rtnetlink", err)
	}
	return c.answers()
}

// answers reads the answers to the last request.
func (c *conn) answers() (all []message, err error) {
	buf := make([]byte, 64<<10) // the kernel fills 32 KiB at most
	interrupted := false
	for {
		n, err := c.receive(buf)
		if err != nil {
			return nil, err
		}
		msgs, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return nil, os.NewSyscallError("parse rtnetlink", err)
		}
		for _, m := range msgs {
			if m.Header.Seq != c.seq {
				continue
			}
			interrupted = interrupted || m.Header.Flags&unix.NLM_F_DUMP_INTR != 0
			switch m.Header.Type {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				if err := errnoOf(m.Data); err != nil {
					return nil, err
				}
				if interrupted {
					return nil, errInterrupted
				}
				return all, nil
			default:
				all = append(all, message{m.Header.Type, append([]byte(nil), m.Data...)})
			}
		}
	}
}

// receive reads a datagram from the kernel. Others may send to the socket too.
func (c *conn) receive(buf []byte) (n int, err error) {
	for {
		var from unix.Sockaddr
		err := sys.Control(c.f, func(fd int) error {
			return sys.Retry(func() (err error) {
				n, from, err = unix.Recvfrom(fd, buf, 0)
				return err
			})
		})
		if err != nil {
			return 0, os.NewSyscallError("recvfrom rtnetlink", err)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 {
			c.received += n
			return n, nil
		}
	}
}

// errnoOf reads the body of NLMSG_ERROR or NLMSG_DONE, which holds minus errno, or 0.
func errnoOf(body []byte) error {
	if len(body) < 4 {
		return nil
	}
	if errno := int32(binary.NativeEndian.Uint32(body)); errno != 0 {
		return syscall.Errno(-errno)
	}
	return nil
}

func (c *conn) close() error { return c.f.Close() }
