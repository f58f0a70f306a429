// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Retry calls f until it returns anything but EINTR.
func Retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// FD returns f's descriptor, for a child that inherits it. Unlike f.Fd it leaves a
// non-blocking file in the runtime's poller. It returns -1 for a closed file; every system
// call refuses that.
func FD(f *os.File) int {
	fd := -1
	// An error means that f is closed.
	_ = Control(f, func(n int) error {
		fd = n
		return nil
	})
	return fd
}

// Control calls fn with f's descriptor and keeps it open meanwhile. Unlike f.Fd it leaves a
// non-blocking file in the runtime's poller. It returns os.ErrClosed if f is closed.
func Control(f *os.File, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if conn.Control(func(fd uintptr) { ferr = fn(int(fd)) }) != nil {
		return os.ErrClosed // no other error is possible, and this one has no name
	}
	return ferr
}
