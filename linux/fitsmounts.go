// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// checkMounts makes sure that what the specification hides is hidden, and what it
// protects is read-only; criu does not say of the root that it is, so that is done
// here. Nothing of the container runs yet.
func (r *restorer) checkMounts() error {
	return sys.OnThread(func() error {
		if err := sys.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		// The thread's root is the container's from here.
		if err := sys.Setns(r.pidfd, unix.CLONE_NEWNS); err != nil {
			return err
		}
		root, err := sys.OpenAt(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer sys.Close(root)
		if r.Spec.Root.Readonly {
			if err := sys.SetMountAttr(root, false, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
				return err
			}
		}
		for _, p := range r.Spec.Linux.ReadonlyPaths {
			if err := checkPath(root, p, isReadonly); err != nil {
				return err
			}
		}
		for _, p := range r.Spec.Linux.MaskedPaths {
			if err := checkPath(root, p, isMasked); err != nil {
				return err
			}
		}
		for _, p := range r.mounts.Devices() {
			if err := checkPath(root, p, closeDevice); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkPath looks at a path of the container, if it is there.
func checkPath(root int, p string, is func(fd int) (bool, error)) error {
	fd, err := sys.OpenInRoot(root, p, unix.O_PATH, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	ok, err := is(fd)
	if err == nil && !ok {
		err = misfit("%s is not protected", p)
	}
	return err
}

func isReadonly(fd int) (bool, error) {
	var fs unix.Statfs_t
	if err := sys.Retry(func() error { return unix.Fstatfs(fd, &fs) }); err != nil {
		return false, err
	}
	return fs.Flags&unix.ST_RDONLY != 0, nil
}

// isMasked reports whether a file is the null device, or a directory the read-only
// tmpfs that covers it.
func isMasked(fd int) (bool, error) {
	st, err := sys.Stat(fd)
	if err != nil {
		return false, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if st.Mode&unix.S_IFMT != unix.S_IFCHR || uint64(st.Rdev) != unix.Mkdev(1, 3) {
			return false, nil
		}
		return closeDevice(fd)
	}
	magic, err := sys.Magic(fd)
	if err != nil || magic != unix.TMPFS_MAGIC {
		return false, err
	}
	return isReadonly(fd)
}

// closeDevice makes the mount of a device node read-only, if it is one: criu has bound
// the host's inode, which is not the container's to change.
func closeDevice(fd int) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_TYPE, &st); err != nil {
		return false, os.NewSyscallError("statx", err)
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return true, nil
	}
	return true, sys.SetMountAttr(fd, false, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}
