// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// Pipe makes an anonymous pipe (pipe2(2)). Both ends are in blocking mode and not in
// the runtime's poller; each is an open file description of its own, so that
// O_NONBLOCK of one end says nothing of the other.
func Pipe(name string) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// SetNonblock makes f non-blocking for Splice, Read and Write. The runtime's poller
// learns nothing of it.
func SetNonblock(f *os.File) error {
	return Control(f, func(fd int) error {
		return os.NewSyscallError("fcntl F_SETFL", unix.SetNonblock(fd, true))
	})
}

// Splice moves up to max bytes from one pipe to another without copying them, and
// without waiting (splice(2)). 0: no writer is left and nothing is there. EAGAIN:
// nothing is there, or there is no room; with no room also where there is no writer.
func Splice(src, dst *os.File, max int) (n int, err error) {
	err = control2(src, dst, func(in, out int) error {
		return Retry(func() error {
			moved, err := unix.Splice(in, nil, out, nil, max, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
			n = max0(moved)
			return os.NewSyscallError("splice", err)
		})
	})
	return n, err
}

func max0(n int64) int { return int(max(n, 0)) }

// Read is read(2). Unlike f.Read it reports EAGAIN.
func Read(f *os.File, buf []byte) (n int, err error) {
	err = Control(f, func(fd int) error {
		return Retry(func() (err error) {
			n, err = unix.Read(fd, buf)
			n = max(n, 0)
			return os.NewSyscallError("read", err)
		})
	})
	return n, err
}

// Write is one write(2). Unlike f.Write it reports EAGAIN, and a part that was
// written.
func Write(f *os.File, buf []byte) (n int, err error) {
	err = Control(f, func(fd int) error {
		return Retry(func() (err error) {
			n, err = unix.Write(fd, buf)
			n = max(n, 0)
			return os.NewSyscallError("write", err)
		})
	})
	return n, err
}

// Readiness is what poll(2) says of a file that is read and of one that is written.
type Readiness struct {
	Readable bool // src has bytes
	Ended    bool // src has no writer, or has failed
	Writable bool // dst has room, or nobody will read it
}

// Ready asks what could be done now with src and dst.
func Ready(src, dst *os.File) (r Readiness, err error) {
	err = control2(src, dst, func(in, out int) error {
		fds := [2]unix.PollFd{{Fd: int32(in), Events: unix.POLLIN}, {Fd: int32(out), Events: unix.POLLOUT}}
		if err := Retry(func() error { _, err := unix.Poll(fds[:], 0); return err }); err != nil {
			return os.NewSyscallError("poll", err)
		}
		r.Readable = fds[0].Revents&unix.POLLIN != 0
		r.Ended = fds[0].Revents&^unix.POLLIN != 0
		r.Writable = fds[1].Revents != 0
		return nil
	})
	return r, err
}

// HasReader reports whether anybody has the pipe or fifo open to read, of which w is
// a write end (POLLERR, poll(2)).
func HasReader(w *os.File) (has bool, err error) {
	err = Control(w, func(fd int) error {
		fds := [1]unix.PollFd{{Fd: int32(fd)}}
		err := Retry(func() error { _, err := unix.Poll(fds[:], 0); return err })
		has = fds[0].Revents&unix.POLLERR == 0
		return os.NewSyscallError("poll", err)
	})
	return has, err
}

// Unread is how many bytes a pipe or fifo holds (FIONREAD, pipe(7)).
func Unread(f *os.File) (n int, err error) {
	err = Control(f, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ) // the same number
		return os.NewSyscallError("ioctl FIONREAD", err)
	})
	return n, err
}

// PipeSize is the capacity of a pipe or fifo in bytes (F_GETPIPE_SZ, fcntl(2)).
func PipeSize(f *os.File) (size int, err error) {
	err = Control(f, func(fd int) (err error) {
		size, err = unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
		return os.NewSyscallError("fcntl F_GETPIPE_SZ", err)
	})
	return size, err
}

// SetPipeSize sets it (F_SETPIPE_SZ). EPERM: the user's limit is reached. EBUSY: it
// holds more than that.
func SetPipeSize(f *os.File, size int) error {
	return Control(f, func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size)
		return os.NewSyscallError("fcntl F_SETPIPE_SZ", err)
	})
}

// IsPipe reports whether f is a pipe or fifo.
func IsPipe(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// control2 is Control with two files.
func control2(a, b *os.File, fn func(a, b int) error) error {
	return Control(a, func(afd int) error {
		return Control(b, func(bfd int) error { return fn(afd, bfd) })
	})
}
