// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"

	"golang.org/x/sys/unix"
)

// openLog opens the fifo from which containerd reads a shim's log. The log works without
// containerd too: the descriptor is also a read end, so a write raises no SIGPIPE. Up to
// 64 KiB stay in the pipe until containerd is back; the rest is dropped (see Log).
func openLog(path string) (fd int, err error) {
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		unix.Close(fd)
		return -1, &os.PathError{Op: "open", Path: path, Err: unix.EINVAL}
	}
	return fd, nil
}

// Log writes to a descriptor and never waits: it drops what the kernel does not take at
// once. os.Stderr would block the writer while containerd is down, and with it everybody
// who waits for the logger's lock.
type Log int

// Stderr is the log of a daemon made by Daemon.Start.
const Stderr Log = 2

// Write always returns len(p): a full log is no error.
func (l Log) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, err := unix.Write(int(l), rest)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			break
		}
		rest = rest[n:]
	}
	return len(p), nil
}
