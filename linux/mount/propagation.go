// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// hostPropagation is what becomes of the host's mounts in the container's mount
// namespace before anything is mounted there: what rootfsPropagation says, or
// mounts of the host go on to appear and none of the container's goes out.
// Unbindable is for the container's root alone: the host's mounts become private,
// or there would be nothing to bind.
func (s *Set) hostPropagation() uint64 {
	switch {
	case s.propagation == 0:
		return unix.MS_SLAVE | unix.MS_REC
	case s.propagation&unix.MS_UNBINDABLE != 0:
		return unix.MS_PRIVATE | s.propagation&unix.MS_REC
	}
	return s.propagation
}

// mayLeak tells whether mounts of the container's namespace are still peers of
// the host's: then mounting on one of them mounts on the host as well.
func (s *Set) mayLeak() bool {
	p := s.hostPropagation()
	return p&unix.MS_REC == 0 || p&(unix.MS_SLAVE|unix.MS_PRIVATE) == 0
}

// setHostPropagation is the first thing done in the container's mount namespace.
func (s *Set) setHostPropagation() error {
	p := s.hostPropagation()
	if err := sys.Mount("", "/", "", uintptr(p), ""); err != nil {
		return fmt.Errorf("make the host's mounts %s: %w", propagationName(p), err)
	}
	if !s.mayLeak() {
		return nil
	}
	// pivot_root(2) refuses a root whose parent is shared, too.
	if len(s.rootfs) > 0 {
		if err := s.isolate(s.rootfsDir); err != nil {
			return err
		}
	}
	return s.isolate(s.root)
}

// isolate takes the mount that holds the host path p out of its peer group.
// Changing the propagation works at a mount's root only, and says EINVAL
// anywhere else.
func (s *Set) isolate(p string) error {
	for p = path.Clean(p); ; p = path.Dir(p) {
		err := sys.Mount("", p, "", uintptr(s.rootChange()), "")
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINVAL) && p != "/":
		default:
			return fmt.Errorf("make %s %s: %w", p, propagationName(s.rootChange()), err)
		}
	}
}

// ownPropagation gives the clone of the root directory the propagation of runc's
// root: a slave of its source's peers with rootfsPropagation slave or rslave, or
// else private, whatever the mounts below it are.
func (s *Set) ownPropagation(tree int) error {
	return sys.SetMountAttr(tree, false, &unix.MountAttr{Propagation: s.rootChange()})
}

// rootChange is what keeps the root and its parent from being shared.
func (s *Set) rootChange() uint64 {
	if s.propagation&unix.MS_SLAVE != 0 {
		return unix.MS_SLAVE
	}
	return unix.MS_PRIVATE
}

// setRootPropagation gives the container's root the propagation of
// rootfsPropagation. pivot_root(2) refuses a shared root, so it comes after;
// private and slave were done before.
func (s *Set) setRootPropagation() error {
	if s.propagation == 0 || s.propagation&(unix.MS_PRIVATE|unix.MS_SLAVE) != 0 {
		return nil
	}
	attr := unix.MountAttr{Propagation: s.propagation &^ unix.MS_REC}
	if err := sys.SetMountAttr(s.rootFD, s.propagation&unix.MS_REC != 0, &attr); err != nil {
		return fmt.Errorf("make the root %s: %w", propagationName(s.propagation), err)
	}
	return nil
}
