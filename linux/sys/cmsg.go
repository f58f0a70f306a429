// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Conn is one end of a SOCK_SEQPACKET pair: messages keep their borders and can
// carry file descriptors. It blocks its thread; the other end is a process that
// answers within microseconds or dies.
type Conn struct {
	f *os.File
}

// SocketPair makes two connected Conns, close-on-exec. The caller closes both.
func SocketPair() (a, b *Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return &Conn{os.NewFile(uintptr(fds[0]), "parent")}, &Conn{os.NewFile(uintptr(fds[1]), "child")}, nil
}

// Fd is the descriptor's number, for a child that inherits it.
func (c *Conn) Fd() uintptr { return c.f.Fd() }

// Close closes this end.
func (c *Conn) Close() error { return c.f.Close() }

// MaxFDs is how many descriptors one message can carry (SCM_MAX_FD).
const MaxFDs = 253

// Recv waits for a message and returns its bytes and descriptors, which the
// caller owns. io.EOF: the other end is closed.
func (c *Conn) Recv() ([]byte, []*os.File, error) {
	buf := make([]byte, 4096)
	oob := make([]byte, unix.CmsgSpace(MaxFDs*4))
	var n, oobn int
	err := Retry(func() (err error) {
		n, oobn, _, _, err = unix.Recvmsg(int(c.f.Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	runtime.KeepAlive(c)
	if errors.Is(err, unix.ECONNRESET) || err == nil && n == 0 {
		return nil, nil, io.EOF
	}
	if err != nil {
		return nil, nil, os.NewSyscallError("recvmsg", err)
	}
	files, err := rights(oob[:oobn])
	return buf[:n], files, err
}

// Send sends one message.
func (c *Conn) Send(msg []byte, files ...*os.File) error {
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	err := Retry(func() error {
		return unix.Sendmsg(int(c.f.Fd()), msg, oob, nil, unix.MSG_NOSIGNAL)
	})
	runtime.KeepAlive(files)
	return os.NewSyscallError("sendmsg", err)
}

func rights(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // not descriptors
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}
