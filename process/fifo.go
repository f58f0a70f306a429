// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux"
)

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
	return openFifo(e.path, cfg)
}

// openFifo is openOutput of a fifo.
func openFifo(path string, cfg *streamsConfig) (*os.File, *output, error) {
	w, err := openWriter(path, cfg.Terminal)
	unread := errors.Is(err, syscall.ENXIO) // no reader: fifo(7)
	if err != nil && !unread {
		return nil, nil, coded(err)
	}
	r, err := open(path, syscall.O_RDONLY)
	if err == nil && unread { // with our own reader it opens
		w, err = openWriter(path, cfg.Terminal)
	}
	if err == nil {
		err = chown(w, cfg)
	}
	if err != nil {
		closeAll(w, r)
		return nil, nil, coded(err)
	}
	if err := linux.GrowPipe(r, linux.PipeSize); err != nil {
		log.L.WithError(err).Debug("leave an output fifo as small as it is")
	}
	return w, &output{f: r, unread: unread}, nil
}

// openWriter opens the write end of a fifo, ENXIO without a reader; with poll it is for
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
