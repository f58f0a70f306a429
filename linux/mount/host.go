// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// mountHostRootfs mounts the rootfs in the shim's own mount namespace, on a
// thread of its own because a long overlay changes the working directory.
func (s *Set) mountHostRootfs() error {
	return sys.OnThread(func() error {
		if err := sys.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		return s.mountRootfs()
	})
}

// Undo unmounts what Prepare mounted on the host. It can be called again.
func (s *Set) Undo() error {
	if !s.hosted {
		return nil
	}
	err := UnmountHost(s.c.Bundle)
	s.hosted = err != nil
	return err
}

// UnmountHost unmounts everything on the rootfs directory of a bundle and below it
// in the shim's own mount namespace, for the clean-up after a shim's death.
// Nothing mounted there is no error.
func UnmountHost(bundle string) error {
	dir, err := whereIs(filepath.Join(bundle, "rootfs"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	// Detaching the bottom of a stack takes all that is on it, so one is enough
	// for each mount point that is still there; several may be on one path.
	lines := strings.Split(string(info), "\n")
	var errs []error
	for i := len(lines) - 1; i >= 0; i-- {
		f := strings.Fields(lines[i])
		if len(f) < 5 || !below(unescape(f[4]), dir) {
			continue
		}
		err := sys.Unmount(unescape(f[4]), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !missing(err) && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", f[4], err))
		}
	}
	return errors.Join(errs...)
}

// whereIs is a host path without links. It asks no file system's server on the way
// (open(2), O_PATH), as lstat(2) does: what is mounted there may hang.
func whereIs(path string) (string, error) {
	fd, err := sys.OpenAt(unix.AT_FDCWD, path, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer sys.Close(fd)
	return os.Readlink(procPath(fd))
}
