// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const selfExe = "/proc/self/exe"

// allSeals makes a memfd and its set of seals immutable.
const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Image is a program that nobody can write to: not through its descriptor, not through
// /proc/<pid>/exe of a process that executes it, and not through anything made from these.
type Image struct {
	fd   int
	name string // below fd; "" if fd is the program itself
}

// Seal makes an image of the program this process runs. The caller closes it.
func Seal() (Image, error) {
	i, err := sealMount()
	if err == nil {
		return i, nil
	}
	i, merr := sealMemfd()
	if merr != nil {
		return Image{}, fmt.Errorf("seal %s: %w", selfExe, errors.Join(err, merr))
	}
	return i, nil
}

// path returns the path of the image for execve(2) in this process, or in a child with the
// same descriptors. The kernel names a process after its last part.
func (i Image) path() string {
	if i.name == "" {
		return fdPath(i.fd)
	}
	return fdPath(i.fd) + "/" + i.name
}

// Close closes the image. Processes that execute it keep it.
func (i Image) Close() error { return unix.Close(i.fd) }

func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// sealMount opens the program on a detached read-only mount. It mounts the program's
// directory, so that /proc/<pid>/exe shows the program's name. It mounts the file itself if
// another mount hides it in that directory, or if another file has the name now.
func sealMount() (Image, error) {
	path, err := os.Readlink(selfExe)
	if err != nil {
		return Image{}, err
	}
	if i, err := sealInDir(path); err == nil {
		return i, nil
	}
	fd, err := readOnlyTree(selfExe)
	return Image{fd: fd}, err
}

func sealInDir(path string) (Image, error) {
	parent, name := split(path)
	dir, err := readOnlyTree(parent)
	if err != nil {
		return Image{}, err
	}
	var self, found unix.Stat_t
	err = unix.Stat(selfExe, &self)
	if err == nil {
		err = unix.Fstatat(dir, name, &found, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil && (self.Dev != found.Dev || self.Ino != found.Ino) {
		err = unix.ESTALE
	}
	if err != nil {
		unix.Close(dir)
		return Image{}, &os.PathError{Op: "fstatat", Path: path, Err: err}
	}
	return Image{fd: dir, name: name}, nil
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
// descriptor it returns is read-only, for the writable one would make execve(2)
// fail with ETXTBSY.
func sealMemfd() (Image, error) {
	src, err := unix.Open(selfExe, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Image{}, &os.PathError{Op: "open", Path: selfExe, Err: err}
	}
	defer unix.Close(src)
	// MFD_EXEC (Linux 6.3) is needed where vm.memfd_noexec is set, and unknown before.
	const flags = unix.MFD_ALLOW_SEALING | unix.MFD_CLOEXEC
	mem, err := unix.MemfdCreate("containerd-shim-mini-v2", flags|unix.MFD_EXEC)
	if err == unix.EINVAL {
		mem, err = unix.MemfdCreate("containerd-shim-mini-v2", flags)
	}
	if err != nil {
		return Image{}, os.NewSyscallError("memfd_create", err)
	}
	defer unix.Close(mem)
	if err := copyAll(mem, src); err != nil {
		return Image{}, err
	}
	if _, err := unix.FcntlInt(uintptr(mem), unix.F_ADD_SEALS, allSeals); err != nil {
		return Image{}, os.NewSyscallError("fcntl F_ADD_SEALS", err)
	}
	fd, err := unix.Open(fdPath(mem), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Image{}, &os.PathError{Op: "open", Path: "memfd", Err: err}
	}
	return Image{fd: fd}, nil
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
			return os.NewSyscallError("sendfile", unix.EIO) // src became shorter
		default:
			left -= int64(n)
		}
	}
	return nil
}
