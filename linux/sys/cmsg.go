// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Conn is one end of a SOCK_SEQPACKET pair: messages keep their boundaries and can carry
// file descriptors.
type Conn struct {
	f *os.File
}

// SocketPair makes two connected Conns, close-on-exec. The first is for this
// process, in the runtime's poller; the second for a child, in blocking mode. The
// caller closes both.
func SocketPair() (own, child *Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	err = os.NewSyscallError("fcntl", unix.SetNonblock(fds[0], true))
	own, child = &Conn{os.NewFile(uintptr(fds[0]), "parent")}, &Conn{os.NewFile(uintptr(fds[1]), "child")}
	if err != nil {
		return nil, nil, errors.Join(err, own.Close(), child.Close())
	}
	return own, child, nil
}

// Fd returns the number of the descriptor, for a child that inherits it.
func (c *Conn) Fd() uintptr { return uintptr(FD(c.f)) }

// File returns this end, which the Conn still closes.
func (c *Conn) File() *os.File { return c.f }

// Above takes c over and returns it with a descriptor that is not below min.
func (c *Conn) Above(min int) (*Conn, error) {
	defer c.Close()
	var fd int
	err := Control(c.f, func(old int) (err error) {
		fd, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, min)
		return os.NewSyscallError("fcntl", err)
	})
	if err != nil {
		return nil, err
	}
	return &Conn{os.NewFile(uintptr(fd), c.f.Name())}, nil
}

// Close closes this end.
func (c *Conn) Close() error { return c.f.Close() }

// Shutdown makes both ends receive io.EOF.
func (c *Conn) Shutdown() {
	_ = Control(c.f, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RDWR) }) // an error means that c is closed
}

// MaxFDs is how many descriptors one message can carry (SCM_MAX_FD).
const MaxFDs = 253

// Recv waits for a message and returns its bytes and descriptors, which the
// caller owns. It returns io.EOF if the other end is closed.
func (c *Conn) Recv() ([]byte, []*os.File, error) { return c.RecvUpTo(shortMessage) }

// RecvUpTo is Recv for messages of up to size bytes. Longer ones are truncated.
func (c *Conn) RecvUpTo(size int) ([]byte, []*os.File, error) {
	m, err := c.recvMessage(size)
	if err != nil {
		return nil, nil, err
	}
	return m.result()
}

func (c *Conn) recvMessage(size int) (*message, error) {
	conn, err := c.f.SyscallConn()
	if err != nil {
		return nil, err
	}
	m := newMessage(size)
	return m, conn.Read(m.recv)
}

// RecvOnThread is Recv for a goroutine that is locked to its thread. Waiting in the
// runtime's poller would cost it two more thread switches.
func (c *Conn) RecvOnThread() ([]byte, []*os.File, error) {
	m := newMessage(shortMessage)
	err := Control(c.f, func(fd int) error {
		for !m.recv(uintptr(fd)) {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if err := Retry(func() error { _, err := unix.Poll(poll, -1); return err }); err != nil {
				return os.NewSyscallError("poll", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return m.result()
}

// AskSenders has the kernel say from now on who sends a message (SO_PASSCRED, unix(7)).
func (c *Conn) AskSenders() error { return c.askSenders(1) }

func (c *Conn) askSenders(on int) error {
	return Control(c.f, func(fd int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, on))
	})
}

// RecvFrom is Recv for a message of the process pid alone, which the caller has not
// waited for. Messages of others that have the other end open as well are dropped.
// EMFILE: there was no room for the descriptors of the message, whose bytes come with
// the error.
//
// Precondition: AskSenders, whose effect ends here: a socket that sends with it gets an
// abstract address, at which nobody listens.
func (c *Conn) RecvFrom(pid int) ([]byte, []*os.File, error) {
	defer func() { _ = c.askSenders(0) }() // the message is good all the same
	for {
		m, err := c.recvMessage(shortMessage)
		if err != nil {
			return nil, nil, err
		}
		msg, files, err := m.result()
		if errors.Is(err, unix.EMFILE) {
			msg = m.buf[:m.n]
		}
		if m.sender() == pid || err != nil && msg == nil {
			return msg, files, err
		}
		for _, f := range files {
			_ = f.Close() // nothing was written
		}
	}
}

// message holds the results of recvmsg(2).
type message struct {
	buf     []byte
	oob     []byte
	n, oobn int
	flags   int
	err     error
}

// shortMessage is longer than any message of a child. The longest is a failure's, 8 bytes.
const shortMessage = 64

func newMessage(size int) *message {
	room := unix.CmsgSpace(MaxFDs*4) + unix.CmsgSpace(unix.SizeofUcred)
	return &message{buf: make([]byte, size), oob: make([]byte, room)}
}

// recv reports whether there was a message or an error.
func (m *message) recv(fd uintptr) bool {
	m.err = Retry(func() (err error) {
		m.n, m.oobn, m.flags, _, err = unix.Recvmsg(int(fd), m.buf, m.oob, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	return !errors.Is(m.err, unix.EAGAIN)
}

func (m *message) result() ([]byte, []*os.File, error) {
	if errors.Is(m.err, unix.ECONNRESET) {
		return nil, nil, io.EOF
	}
	if m.err != nil {
		return nil, nil, os.NewSyscallError("recvmsg", m.err)
	}
	files, err := rights(m.oob[:m.oobn])
	switch {
	case m.n == 0: // nobody here sends a message without bytes, which may have descriptors
		err = io.EOF
	case err == nil && m.flags&unix.MSG_CTRUNC != 0:
		// The buffer has room for everything that a message can carry, but our table
		// of open files is full (unix(7), "BUGS"). The other descriptors are lost.
		err = os.NewSyscallError("recvmsg", unix.EMFILE)
	}
	if err == nil {
		return m.buf[:m.n], files, nil
	}
	for _, f := range files {
		_ = f.Close() // nothing was written
	}
	return nil, nil, err
}

// sender is the pid of the process that has sent the message; 0 where the kernel does
// not say so, as it cannot be seen from here.
func (m *message) sender() int {
	msgs, err := unix.ParseSocketControlMessage(m.oob[:m.oobn])
	if err != nil {
		return 0
	}
	for i := range msgs {
		if cred, err := unix.ParseUnixCredentials(&msgs[i]); err == nil {
			return int(cred.Pid)
		}
	}
	return 0
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
	err := Control(c.f, func(fd int) error {
		return Retry(func() error { return unix.Sendmsg(fd, msg, oob, nil, unix.MSG_NOSIGNAL) })
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
