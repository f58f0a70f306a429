// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// openDir opens a directory for use as the base of other calls, and for
// CLONE_INTO_CGROUP: O_PATH. Symbolic links do not exist in cgroup2 and are
// not followed. A nil base is the working directory. The caller closes it.
func openDir(base *os.File, name string) (*os.File, error) {
	return open(base, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
}

func open(base *os.File, name string, flags int) (*os.File, error) {
	fd, err := openFd(base, name, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), human(base, name)), nil
}

// openFd is openat(2).
func openFd(base *os.File, name string, flags int) (int, error) {
	fd := -1
	err := withFd(base, func(at int) (err error) {
		fd, err = unix.Openat(at, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: human(base, name), Err: err}
	}
	return fd, nil
}

// withFd calls f with the directory's descriptor until it is not interrupted.
// Until f returns, the descriptor cannot be closed and its number given to another
// container's directory. os.ErrClosed: it was closed before.
func withFd(dir *os.File, f func(fd int) error) error {
	if dir == nil {
		return sys.Retry(func() error { return f(unix.AT_FDCWD) })
	}
	raw, err := dir.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if raw.Control(func(fd uintptr) { failed = sys.Retry(func() error { return f(int(fd)) }) }) != nil {
		return os.ErrClosed
	}
	return failed
}

// human returns the path of name in base, for messages only. It leaves out the middle of a
// long one, because a container may nest its groups as deep as it likes.
func human(base *os.File, name string) string {
	if base != nil {
		name = path.Join(base.Name(), name)
	}
	if len(name) > longName {
		name = name[:longName/2] + "..." + name[len(name)-longName/2:]
	}
	return name
}

const longName = 256

// readFile returns what the file holds.
func readFile(dir *os.File, name string) ([]byte, error) {
	fd, err := openFd(dir, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, 512)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		var n int
		err := sys.Retry(func() (err error) {
			n, err = unix.Read(fd, buf[len(buf):cap(buf)])
			return err
		})
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: human(dir, name), Err: err}
		}
		if n == 0 {
			return buf, nil
		}
		buf = buf[:len(buf)+n]
	}
}

// writeFile writes the value in one write(2), as cgroup files need it.
func writeFile(dir *os.File, name, value string) error {
	fd, err := openFd(dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = sys.Retry(func() error {
		_, err := unix.Write(fd, []byte(value))
		return err
	})
	if err != nil {
		return &os.PathError{Op: "write", Path: human(dir, name), Err: err}
	}
	return nil
}

// children lists the names of the sub-cgroups of dir, which may be O_PATH.
func children(dir *os.File) ([]string, error) {
	// kernfs counts sub-directories in st_nlink: most groups have none, and are
	// not read.
	var st unix.Stat_t
	if err := withFd(dir, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, &os.PathError{Op: "fstat", Path: dir.Name(), Err: err}
	}
	if st.Nlink <= 2 {
		return nil, nil
	}
	f, err := open(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for {
		entries, err := f.ReadDir(64)
		for _, e := range entries {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return names, err
		}
	}
}

// gone reports whether err says that the cgroup, or this file of it, no longer exists.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

func mkdirat(base *os.File, name string) error {
	err := withFd(base, func(fd int) error { return unix.Mkdirat(fd, name, 0o755) })
	if err == nil {
		return nil
	}
	err = &os.PathError{Op: "mkdir", Path: human(base, name), Err: err}
	if errors.Is(err, unix.EAGAIN) {
		const which = "cgroup.max.depth or cgroup.max.descendants of a cgroup above"
		return fmt.Errorf("%s: %w: %w", which, err, errdefs.ErrResourceExhausted)
	}
	return err
}

// rmdir removes an empty group. It is no error if the group is gone already.
func rmdir(base *os.File, name string) error {
	err := withFd(base, func(fd int) error { return unix.Unlinkat(fd, name, unix.AT_REMOVEDIR) })
	if err != nil && !gone(err) {
		return &os.PathError{Op: "rmdir", Path: human(base, name), Err: err}
	}
	return nil
}
