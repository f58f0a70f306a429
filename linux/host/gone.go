// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"

	"golang.org/x/sys/unix"
)

// Watch tells when one of a set of files may have been removed. It costs
// nothing while nothing happens to them (inotify(7)).
type Watch struct {
	f   *os.File // pollable; closed by Close
	buf [unix.SizeofInotifyEvent + unix.NAME_MAX + 1]byte
}

// NewWatch makes a watch of no files yet. The caller closes it.
func NewWatch() (*Watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &Watch{f: os.NewFile(uintptr(fd), "inotify")}, nil
}

// Add watches the file at path too. A file loses a link the moment its name is
// removed, which counts as a change of its attributes, whoever has it open;
// a directory that is somebody's working directory would not tell.
func (w *Watch) Add(path string) error {
	const mask = unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	raw, err := w.f.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) {
		_, err = unix.InotifyAddWatch(int(fd), path, mask)
	})
	if cerr != nil {
		return cerr
	}
	if err != nil {
		return &os.PathError{Op: "inotify_add_watch", Path: path, Err: err}
	}
	return nil
}

// Wait returns nil when something happened to a watched file: removed, moved,
// unmounted, or merely changed in its attributes. It returns os.ErrClosed
// after Close. One goroutine at a time.
func (w *Watch) Wait() error {
	_, err := w.f.Read(w.buf[:])
	return err
}

// Close ends Wait and forgets the files.
func (w *Watch) Close() error { return w.f.Close() }
