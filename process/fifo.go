// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux"
)

// How long unread output is waited for. Nothing is waited for when the fifo is
// empty, so these bound a reader that lags, hangs or has gone.
const (
	// At the exit the announcement is held back, so a reader that does not read
	// at all must cost little.
	exitPatience = 20 * time.Millisecond
	exitLimit    = 500 * time.Millisecond
	// At Delete nobody minds, and the bytes are lost after it. The limit is that
	// of runc's shim.
	deletePatience = time.Second
	deleteLimit    = 10 * time.Second
	// settlePoll is how often we look: nothing tells a pipe's other owners that
	// it was emptied.
	settlePoll = 200 * time.Microsecond
)

// output is the shim's own read end of an output fifo. It is never read: it is
// there so that a container survives the reader's restart without a SIGPIPE, and
// to ask how much is unread.
type output struct{ f *os.File }

// openOutput opens what an output stream is connected to: f is the write end,
// in blocking mode; kept is our read end, if it is a fifo.
func openOutput(e endpoint, cfg *streamsConfig) (f *os.File, kept *output, err error) {
	switch e.scheme {
	case schemeNone:
		return nil, nil, nil
	case schemeFile:
		f, err := openLog(e.path, cfg)
		return f, nil, err
	}
	info, err := os.Stat(e.path)
	if err != nil {
		return nil, nil, coded(err)
	}
	if info.Mode()&fs.ModeNamedPipe == 0 { // as runc's shim: any file that exists
		f, err := open(e.path, syscall.O_WRONLY|syscall.O_APPEND)
		return f, nil, coded(err)
	}
	// The read end first: with it the write end opens without waiting.
	r, err := open(e.path, syscall.O_RDONLY)
	if err != nil {
		return nil, nil, coded(err)
	}
	if err := linux.GrowPipe(r, linux.PipeSize); err != nil {
		log.L.WithError(err).Debug("leave an output fifo as small as it is")
	}
	if f, err = openWriter(e.path, cfg.Terminal); err == nil {
		if err = chown(f, cfg); err == nil {
			return f, &output{r}, nil
		}
		err = errors.Join(err, f.Close())
	}
	return nil, nil, errors.Join(coded(err), r.Close())
}

// openWriter opens the write end of a fifo that has a reader; with poll it is for
// the shim itself and a Write can be ended by Close.
func openWriter(path string, poll bool) (*os.File, error) {
	if poll {
		return os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	}
	return open(path, syscall.O_WRONLY)
}

// openInput opens stdin: f is the read end, in blocking mode, and kept our write
// end, if it is a fifo. With poll f is for the shim itself to read and can be
// closed under a reader.
func openInput(path string, poll bool) (f, kept *os.File, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, coded(err)
	}
	if poll {
		f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	} else {
		f, err = open(path, syscall.O_RDONLY)
	}
	if err != nil {
		return nil, nil, coded(err)
	}
	if info.Mode()&fs.ModeNamedPipe == 0 {
		return f, nil, nil
	}
	if kept, err = open(path, syscall.O_WRONLY); err != nil {
		return nil, nil, errors.Join(coded(err), f.Close())
	}
	return f, kept, nil
}

// openLog opens a file:// stream to append to, making it and its directories.
// Only a file made here is given to the container's user.
func openLog(path string, cfg *streamsConfig) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, coded(err)
	}
	const flags = syscall.O_WRONLY | syscall.O_APPEND
	f, err := open(path, flags|syscall.O_CREAT|syscall.O_EXCL)
	if errors.Is(err, fs.ErrExist) {
		f, err = open(path, flags|syscall.O_CREAT)
		return f, coded(err)
	}
	if err != nil {
		return nil, coded(err)
	}
	if err := chown(f, cfg); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open is open(2), never waiting for a fifo's other end, with a descriptor in
// blocking mode as the result. os.OpenFile would make a fifo's description
// non-blocking for everybody who shares it, the container first of all, and
// register it with the runtime's poller, which would wake for every write of the
// container.
func open(path string, flags int) (*os.File, error) {
	flags |= syscall.O_NONBLOCK | syscall.O_CLOEXEC | syscall.O_NOCTTY
	fd, err := syscall.Open(path, flags, 0o644)
	for errors.Is(err, syscall.EINTR) {
		fd, err = syscall.Open(path, flags, 0o644)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl", err), syscall.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), nil
}

// settle waits until the fifo is empty. It gives up after patience without a
// byte taken and after limit in any case (somebody may go on writing).
func (o *output) settle(patience, limit time.Duration) {
	o.await(patience, limit, func() bool { return true })
}

// drain is settle for the last time: it also ends when there is no reader. To
// know that, our own read end is exchanged for a write end, for a fifo without a
// reader cannot be opened for writing (ENXIO, fifo(7)).
func (o *output) drain(patience, limit time.Duration) {
	if n, err := linux.PipePending(o.f); err != nil || n == 0 {
		return
	}
	w, err := o.reopen()
	if err != nil {
		log.L.WithError(err).Warn("wait for output to be read")
		return
	}
	closeAll(o.f)
	o.f = w
	o.await(patience, limit, func() bool {
		probe, err := o.reopen()
		closeAll(probe)
		return err == nil
	})
}

// reopen opens the fifo's write end by the descriptor: its name may be gone.
func (o *output) reopen() (*os.File, error) {
	return open("/proc/self/fd/"+strconv.Itoa(int(o.f.Fd())), syscall.O_WRONLY)
}

func (o *output) await(patience, limit time.Duration, more func() bool) {
	unread, err := linux.PipePending(o.f)
	start := time.Now()
	for last := start; err == nil && unread > 0 && more(); {
		now := time.Now()
		if now.Sub(last) > patience || now.Sub(start) > limit {
			return
		}
		time.Sleep(settlePoll)
		var n int
		if n, err = linux.PipePending(o.f); n < unread {
			last = now
		}
		unread = n
	}
	if err != nil {
		log.L.WithError(err).Warn("wait for output to be read")
	}
}

func (o *output) close() {
	closeAll(o.f)
}
