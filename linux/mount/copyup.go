// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// copyUp copies what is in the directory from, an O_PATH descriptor in the
// container, into the directory to, a tmpfs that is attached nowhere yet: no
// path leads there, so nothing of the container can redirect the copy
// (CVE-2021-30465). Mounts below from are not entered.
func copyUp(from, to int) error {
	src, err := sys.OpenAt(from, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	st, err := sys.Stat(src)
	if err != nil {
		sys.Close(src)
		return err
	}
	return copyDir(src, to, st.Dev)
}

// copyDir copies the contents of one directory and closes src.
func copyDir(src, dst int, dev uint64) error {
	dir := os.NewFile(uintptr(src), "tmpcopyup")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := copyOne(src, dst, name, dev); err != nil {
			return fmt.Errorf("copy up %s: %w", name, err)
		}
	}
	return nil
}

func copyOne(src, dst int, name string, dev uint64) error {
	fd, err := sys.OpenAt(src, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	st, err := sys.Stat(fd)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = copySub(fd, dst, name, &st, dev)
	case unix.S_IFREG:
		err = copyFile(fd, dst, name)
	case unix.S_IFLNK:
		err = copyLink(fd, dst, name)
	default: // a fifo, a device, a socket
		err = sys.MknodAt(dst, name, st.Mode, uint64(st.Rdev)) // 32 bits on some
	}
	if err != nil {
		return err
	}
	return copyMeta(dst, name, &st)
}

func copySub(fd, dst int, name string, st *unix.Stat_t, dev uint64) error {
	if err := sys.MkdirAt(dst, name, 0o700); err != nil {
		return err
	}
	if uint64(st.Dev) != dev { // 32 bits on some
		return nil
	}
	sub, err := sys.OpenAt(dst, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer sys.Close(sub)
	src, err := sys.OpenAt(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	return copyDir(src, sub, dev)
}

func copyFile(fd, dst int, name string) error {
	in, err := sys.OpenAt(unix.AT_FDCWD, procPath(fd), unix.O_RDONLY)
	if err != nil {
		return err
	}
	from := os.NewFile(uintptr(in), name)
	defer from.Close()
	if err := sys.MknodAt(dst, name, unix.S_IFREG|0o600, 0); err != nil {
		return err
	}
	out, err := sys.OpenAt(dst, name, unix.O_WRONLY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	to := os.NewFile(uintptr(out), name)
	_, err = io.Copy(to, from)
	if cerr := to.Close(); err == nil {
		err = cerr
	}
	return err
}

func copyLink(fd, dst int, name string) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return &os.PathError{Op: "readlinkat", Path: name, Err: err}
	}
	return sys.SymlinkAt(string(buf[:n]), dst, name)
}

// copyMeta gives a copy the owner, the mode and the times of its original.
func copyMeta(dst int, name string, st *unix.Stat_t) error {
	if err := unix.Fchownat(dst, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "fchownat", Path: name, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(dst, name, st.Mode&0o7777, 0); err != nil {
			return &os.PathError{Op: "fchmodat", Path: name, Err: err}
		}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(dst, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimensat", Path: name, Err: err}
	}
	return nil
}
