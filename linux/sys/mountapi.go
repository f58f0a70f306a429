// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The mount calls take and return plain descriptors, not *os.File. A container needs about
// sixty of them within half a millisecond, and a File costs more than the call. The caller
// closes them with Close.

// Close closes descriptors and skips -1. An error of close(2) on the O_PATH and mount
// descriptors of this package has no consequence.
func Close(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// CloneTree is open_tree(OPEN_TREE_CLONE): a copy of the mount that holds path
// below dirfd, not yet attached (Linux 5.2). An empty path means dirfd itself. recursive
// includes the mounts below.
func CloneTree(dirfd int, path string, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd := -1
	err := Retry(func() (err error) {
		fd, err = unix.OpenTree(dirfd, path, flags)
		return err
	})
	if err != nil {
		return -1, fail("open_tree", path, err)
	}
	return fd, nil
}

// MoveMount attaches the mount from on the inode to; both are descriptors
// (Linux 5.2).
func MoveMount(from, to int) error {
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	return fail("move_mount", "", Retry(func() error { return unix.MoveMount(from, "", to, "", flags) }))
}

// SetMountAttr is mount_setattr(2) on the mount that fd is the root of (Linux
// 5.12).
func SetMountAttr(fd int, recursive bool, attr *unix.MountAttr) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return fail("mount_setattr", "", Retry(func() error { return unix.MountSetattr(fd, "", flags, attr) }))
}

// FSOpen begins a new superblock of a filesystem type (Linux 5.2).
func FSOpen(fstype string) (int, error) {
	fd := -1
	err := Retry(func() (err error) {
		fd, err = unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
		return err
	})
	if err != nil {
		return -1, fail("fsopen", "", err)
	}
	return fd, nil
}

// FSParam is the longest value FSString can set.
const FSParam = 255

// FSString sets a parameter to a value of up to FSParam bytes.
func FSString(fd int, key, value string) error {
	return fail("fsconfig", key+"="+value, Retry(func() error { return unix.FsconfigSetString(fd, key, value) }))
}

// FSFlag sets a parameter that has no value.
func FSFlag(fd int, key string) error {
	return fail("fsconfig", key, Retry(func() error { return unix.FsconfigSetFlag(fd, key) }))
}

// FSFile sets a parameter to an open file.
func FSFile(fd int, key string, f *os.File) error {
	return Control(f, func(value int) error {
		return fail("fsconfig", key, Retry(func() error { return unix.FsconfigSetFd(fd, key, value) }))
	})
}

// FSIs returns an error unless f is a file system context of the given type. It asks for a
// parameter that no file system has: the kernel's message names the type, in words that
// who else has the context open cannot have put there (fs/fs_context.c, vfs_parse_fs_param).
func FSIs(f *os.File, fstype string) error {
	var random [8]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return os.NewSyscallError("getrandom", err)
	}
	key := fmt.Sprintf("no-such-%x", random)
	return Control(f, func(fd int) error {
		if err := isContext(fd); err != nil {
			return err
		}
		err := FSFlag(fd, key)
		if !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("find out the type of a file system context: %w", cmp.Or(err, error(unix.EPROTOTYPE)))
		}
		want := fmt.Sprintf("%s: Unknown parameter '%s'", fstype, key)
		if said := FSErrors(fd); !slices.Contains(strings.Split(said, "; "), want) {
			return fmt.Errorf("the file system context is not of type %s: %w (%s)", fstype, unix.EPROTOTYPE, said)
		}
		return nil
	})
}

// isContext returns an error unless fd is a file system context: a read of another file may
// not end.
func isContext(fd int) error {
	proc, err := Proc()
	if err != nil {
		return err
	}
	buf := make([]byte, 64)
	n, err := unix.Readlinkat(int(proc.Fd()), "self/fd/"+strconv.Itoa(fd), buf)
	if err != nil {
		return os.NewSyscallError("readlinkat", err)
	}
	if name := string(buf[:n]); name != "anon_inode:[fscontext]" {
		return fmt.Errorf("%s is no file system context: %w", name, unix.EPROTOTYPE)
	}
	return nil
}

// FSMount creates the superblock and returns a detached mount of it.
func FSMount(fd int, attrs uint32) (int, error) {
	if err := Retry(func() error { return unix.FsconfigCreate(fd) }); err != nil {
		return -1, fail("fsconfig", "", err)
	}
	m := -1
	err := Retry(func() (err error) {
		m, err = unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, int(attrs))
		return err
	})
	if err != nil {
		return -1, fail("fsmount", "", err)
	}
	return m, nil
}

// FSErrors is what the kernel has written down of the errors of a superblock that is
// being made, or "" (fs/fs_context.c, logfc).
func FSErrors(fd int) string {
	var all []string
	for buf := make([]byte, 1024); len(all) < 8; { // it keeps 8
		n, err := unix.Read(fd, buf)
		if err != nil || n == 0 {
			break
		}
		if text, ok := strings.CutPrefix(string(buf[:n]), "e "); ok {
			all = append(all, strings.TrimSpace(text))
		}
	}
	return strings.Join(all, "; ")
}

// Mount is mount(2), for what the calls above cannot do: options of more than
// FSParam bytes, superblock remounts, propagation of a mount named by a path.
func Mount(source, target, fstype string, flags uintptr, data string) error {
	return fail("mount", "", Retry(func() error { return unix.Mount(source, target, fstype, flags, data) }))
}

// Unmount is umount2(2).
func Unmount(target string, flags int) error {
	return fail("umount2", target, Retry(func() error { return unix.Unmount(target, flags) }))
}

// PivotRoot is pivot_root(2).
func PivotRoot(newRoot, putOld string) error {
	return fail("pivot_root", newRoot, unix.PivotRoot(newRoot, putOld))
}

// fail wraps the error of a call. An empty path is left out.
func fail(call, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case path == "":
		return &os.SyscallError{Syscall: call, Err: err}
	}
	return &os.PathError{Op: call, Path: path, Err: err}
}
