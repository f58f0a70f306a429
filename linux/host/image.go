// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const selfExe = "/proc/self/exe"

// allSeals makes a memfd immutable, the set of seals included.
const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Seal opens the program this process runs so that nobody can write to it
// through the descriptor, through /proc/<pid>/exe of a process that executes it,
// or through anything made from these. It is executed by ImagePath.
func Seal() (fd int, err error) {
	fd, err = sealMount()
	if err == nil {
		return fd, nil
	}
	fd, merr := sealMemfd()
	if merr != nil {
		return -1, fmt.Errorf("seal %s: %w", selfExe, errors.Join(err, merr))
	}
	return fd, nil
}

// ImagePath is the path by which execve(2) runs a descriptor of this process.
func ImagePath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// sealMount opens the program on a detached read-only mount. The directory is
// mounted rather than the file so that /proc/<pid>/exe reads as the program's
// name; the file itself where a mount on it hides it from that view, or where
// the name is another file's by now.
func sealMount() (int, error) {
	path, err := os.Readlink(selfExe)
	if err != nil {
		return -1, err
	}
	if fd, err := sealInDir(path); err == nil {
		return fd, nil
	}
	return readOnlyTree(selfExe)
}

func sealInDir(path string) (int, error) {
	parent, name := split(path)
	dir, err := readOnlyTree(parent)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "openat", Path: path, Err: err}
	}
	var self, found unix.Stat_t
	if err := unix.Stat(selfExe, &self); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "stat", Path: selfExe, Err: err}
	}
	if err := unix.Fstat(fd, &found); err != nil || self.Dev != found.Dev || self.Ino != found.Ino {
		unix.Close(fd)
		return -1, &os.PathError{Op: "openat", Path: path, Err: unix.ESTALE}
	}
	return fd, nil
}

// readOnlyTree clones the mount at path into a detached mount that is
// read-only for as long as anything refers to it.
func readOnlyTree(path string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "mount_setattr", Path: path, Err: err}
	}
	return fd, nil
}

// sealMemfd copies the program into memory that can no longer change. The
// returned descriptor is read-only, for the writable one would make execve(2)
// fail with ETXTBSY.
func sealMemfd() (int, error) {
	src, err := unix.Open(selfExe, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: selfExe, Err: err}
	}
	defer unix.Close(src)
	// MFD_EXEC (Linux 6.3) is needed where vm.memfd_noexec is set, and unknown before.
	const flags = unix.MFD_ALLOW_SEALING | unix.MFD_CLOEXEC
	mem, err := unix.MemfdCreate("containerd-shim-mini-v2", flags|unix.MFD_EXEC)
	if err == unix.EINVAL {
		mem, err = unix.MemfdCreate("containerd-shim-mini-v2", flags)
	}
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	defer unix.Close(mem)
	if err := copyAll(mem, src); err != nil {
		return -1, err
	}
	if _, err := unix.FcntlInt(uintptr(mem), unix.F_ADD_SEALS, allSeals); err != nil {
		return -1, os.NewSyscallError("fcntl F_ADD_SEALS", err)
	}
	fd, err := unix.Open(ImagePath(mem), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: "memfd", Err: err}
	}
	return fd, nil
}

func copyAll(dst, src int) error {
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	for left := st.Size; left > 0; {
		n, err := unix.Sendfile(dst, src, nil, int(left))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return os.NewSyscallError("sendfile", err)
		case n == 0:
			return os.NewSyscallError("sendfile", unix.EIO) // it became shorter
		default:
			left -= int64(n)
		}
	}
	return nil
}
