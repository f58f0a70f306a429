// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// openSink opens what an output stream is connected to.
func openSink(e endpoint) (*sink, error) {
	if e.scheme == schemeFile {
		return openLog(e.path)
	}
	info, err := os.Stat(e.path)
	if err != nil {
		return nil, coded(err)
	}
	if info.Mode()&fs.ModeNamedPipe == 0 { // as runc's shim: any file that exists
		w, err := open(e.path, syscall.O_WRONLY|syscall.O_APPEND)
		return newSink(w, nil), coded(err)
	}
	// Our own reader first: without one a fifo does not open for writing (fifo(7)).
	r, err := open(e.path, syscall.O_RDONLY)
	if err != nil {
		return nil, coded(err)
	}
	w, err := open(e.path, syscall.O_WRONLY)
	if err != nil {
		closeAll(r)
		return nil, coded(err)
	}
	return newSink(w, r), nil
}

func newSink(w, r *os.File) *sink {
	return &sink{w: w, r: r, fifo: r != nil, finished: make(chan struct{})}
}

// openInput opens stdin, and of a fifo also a write end to keep.
func openInput(path string) (src, kept *os.File, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, coded(err)
	}
	src, err = open(path, syscall.O_RDONLY)
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return src, nil, coded(err)
	}
	if kept, err = open(path, syscall.O_WRONLY); err != nil {
		closeAll(src)
		return nil, nil, coded(err)
	}
	return src, kept, nil
}

// openLog opens a file:// stream to append to, making it and its directories.
func openLog(path string) (*sink, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, coded(err)
	}
	w, err := open(path, syscall.O_WRONLY|syscall.O_APPEND|syscall.O_CREAT)
	return newSink(w, nil), coded(err)
}

// open is open(2), never waiting for a fifo's other end, with a descriptor that is
// not in the runtime's poller, which would wake for every byte.
func open(path string, flags int) (*os.File, error) {
	flags |= syscall.O_NONBLOCK | syscall.O_CLOEXEC | syscall.O_NOCTTY
	fd, err := syscall.Open(path, flags, 0o644)
	for errors.Is(err, syscall.EINTR) {
		fd, err = syscall.Open(path, flags, 0o644)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	// os.NewFile takes a non-blocking one into the poller.
	if err := syscall.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl", err), syscall.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), nil
}

// closeAll closes files that nothing can be lost with.
func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
