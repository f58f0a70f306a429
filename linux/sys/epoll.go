// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Events of Epoll.Arm.
const (
	EpollIn  = unix.EPOLLIN
	EpollOut = unix.EPOLLOUT
)

// Epoll is an epoll instance of our own. Unlike the runtime's poller, which is woken
// by every write into a pipe that it knows, it is told of a file once for each Arm
// (EPOLLONESHOT, epoll_ctl(2)).
type Epoll struct {
	file   *os.File
	conn   syscall.RawConn
	events [64]unix.EpollEvent // of Wait
}

// NewEpoll is epoll_create1(2).
func NewEpoll() (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// So that the runtime's poller, for which an epoll instance is a file like any
	// other, parks the goroutine in Wait.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	e := &Epoll{file: os.NewFile(uintptr(fd), "epoll")}
	e.conn, err = e.file.SyscallConn()
	return e, err
}

// Arm has Wait tell of f once, by id, as soon as an event is there. A file that
// cannot be waited for, as a regular one, is EPERM.
func (e *Epoll) Arm(f *os.File, event uint32, id int32) error {
	return control2(e.file, f, func(ep, fd int) error {
		ev := unix.EpollEvent{Events: event | unix.EPOLLONESHOT, Fd: id}
		err := unix.EpollCtl(ep, unix.EPOLL_CTL_MOD, fd, &ev)
		if errors.Is(err, unix.ENOENT) {
			err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &ev)
		}
		return os.NewSyscallError("epoll_ctl", err)
	})
}

// Forget takes f out; it is no error if it is not in.
func (e *Epoll) Forget(f *os.File) {
	_ = control2(e.file, f, func(ep, fd int) error {
		return unix.EpollCtl(ep, unix.EPOLL_CTL_DEL, fd, nil)
	})
}

// Wait waits for events and calls ready with the id of each. Only one goroutine may.
func (e *Epoll) Wait(ready func(id int32)) error {
	var n int
	var werr error
	err := e.conn.Read(func(fd uintptr) bool {
		n, werr = unix.EpollWait(int(fd), e.events[:], 0)
		return n > 0 || werr != nil && !errors.Is(werr, unix.EINTR)
	})
	if err == nil {
		err = os.NewSyscallError("epoll_wait", werr)
	}
	if err != nil {
		return err
	}
	for i := range n {
		ready(e.events[i].Fd)
	}
	return nil
}
