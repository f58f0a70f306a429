// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"

	"golang.org/x/sys/unix"
)

// OpenLog opens the fifo that containerd reads a shim's log from. Without
// containerd the log goes on working: the descriptor holds the fifo's read end
// too, so that a write raises no SIGPIPE, what fits stays in the pipe (64 KiB)
// until containerd is back, and what does not fit is dropped (see Log).
func OpenLog(path string) (fd int, err error) {
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

// Log writes to a descriptor and never waits: what the kernel does not take at
// once is lost. os.Stderr would park the writer, and with it everyone who waits
// for the logger's lock, for as long as containerd is down.
type Log int

// Stderr is the log of a daemon made by Daemon.Start.
const Stderr Log = 2

// Write always returns len(p): a log that is full is nobody's failure.
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
