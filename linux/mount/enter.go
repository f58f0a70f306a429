// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Enter finishes the container's filesystem: late read-only mounts, read-only and masked
// paths, pivot_root, the root's propagation, a read-only root. Afterwards the calling
// thread has the container's root and, without ChildChroot, so has every process of the
// mount namespace whose root was the host's. No descriptor of the Set is open any more.
//
// Unlike in runc the masks come before the root is changed, because /dev/null
// and procfs are still the host's then. Nothing of the container runs in between.
func (s *Set) Enter() error {
	// First, because a protected path clones what is mounted below it.
	if err := s.late.makeReadonly(); err != nil {
		return err
	}
	if err := s.seal(); err != nil {
		return err
	}
	if s.c.NoPivotRoot {
		if err := s.moveRoot(); err != nil {
			return fmt.Errorf("move root %s: %w", s.plan.root, err)
		}
	} else if err := s.pivot(); err != nil {
		return fmt.Errorf("enter root %s: %w", s.plan.root, err)
	}
	if err := s.plan.propagation.setRoot(s.root.fd); err != nil {
		return err
	}
	if err := s.closeRoot(); err != nil {
		return err
	}
	// A descriptor would keep the rootfs busy after the container's end, and a
	// later child would inherit a way out of its root (CVE-2024-21626).
	return s.Close()
}

// pivot makes the root the mount namespace's root. pivot_root(".", ".") stacks
// the old root on the new one, where it is unmounted (pivot_root(2), NOTES).
func (s *Set) pivot() error {
	old, err := sys.OpenAt(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer sys.Close(old)
	if err := sys.ChdirTo(s.root.fd); err != nil {
		return err
	}
	if err := sys.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := sys.ChdirTo(old); err != nil {
		return err
	}
	if s.plan.propagation.mayLeak() {
		// Unmounting a peer of a host's mount would unmount that as well.
		if err := sys.Mount("", ".", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	if err := sys.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return sys.Chdir("/")
}

// moveRoot puts the root over the namespace's root and changes the calling
// thread's. The host's mounts stay below it. A full procfs or sysfs that is visible
// among them would permit a user namespace to mount a new one (mount_too_revealing,
// fs/namespace.c), so moveRoot hides those first.
func (s *Set) moveRoot() error {
	points, err := mountPoints()
	if err != nil {
		return err
	}
	for _, m := range points {
		full := m.Root == "/" && (m.Type == "proc" || m.Type == "sysfs")
		if !full || below(m.Path, path.Clean(s.plan.root)) {
			continue
		}
		if err := hide(m.Path); err != nil {
			return err
		}
	}
	if err := sys.ChdirTo(s.root.fd); err != nil {
		return err
	}
	if err := sys.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := sys.Chroot("."); err != nil {
		return err
	}
	return sys.Chdir("/")
}

// hide unmounts a mount, or covers it if it is locked.
func hide(p string) error {
	err := sys.Mount("", p, "", unix.MS_SLAVE|unix.MS_REC, "")
	if missing(err) || errors.Is(err, unix.EINVAL) {
		return nil // it went with one that it was mounted on
	}
	if err != nil {
		return err
	}
	err = sys.Unmount(p, unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
		err = sys.Mount("tmpfs", p, "tmpfs", 0, "")
	}
	return err
}

// closeRoot makes the root read-only if the spec says so.
func (s *Set) closeRoot() error {
	if !s.c.Spec.Root.Readonly {
		return nil
	}
	if err := makeReadonly(s.root.fd); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}
