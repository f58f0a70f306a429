// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// propagation is a propagation type of mounts as an MS_* flag, with MS_REC for a whole
// tree. 0: none is given.
//
// The methods below are about rootfsPropagation, from what becomes of the host's mounts
// to what becomes of the container's root.
type propagation uint64

// String returns the option of the spec.
func (p propagation) String() string {
	name := map[propagation]string{
		unix.MS_SHARED:     "shared",
		unix.MS_SLAVE:      "slave",
		unix.MS_PRIVATE:    "private",
		unix.MS_UNBINDABLE: "unbindable",
	}[p&^unix.MS_REC]
	if p&unix.MS_REC != 0 {
		return "r" + name
	}
	return name
}

// setPropagation makes changes to a mount, one after another.
func setPropagation(tree int, changes []propagation) error {
	for _, p := range changes {
		if err := p.set(tree); err != nil {
			return fmt.Errorf("make it %s: %w", p, err)
		}
	}
	return nil
}

func (p propagation) set(tree int) error {
	attr := unix.MountAttr{Propagation: uint64(p &^ unix.MS_REC)}
	return sys.SetMountAttr(tree, p&unix.MS_REC != 0, &attr)
}

// ofHost returns the propagation of the host's mounts in the container's mount
// namespace before anything is mounted there. By default mounts of the host go on to
// appear and none of the container's goes out. Unbindable is for the container's root
// alone: the host's mounts become private, or there would be nothing to bind.
func (p propagation) ofHost() propagation {
	switch {
	case p == 0:
		return unix.MS_SLAVE | unix.MS_REC
	case p&unix.MS_UNBINDABLE != 0:
		return unix.MS_PRIVATE | p&unix.MS_REC
	}
	return p
}

// mayLeak reports whether mounts of the container's namespace are still peers of
// the host's. Mounting on one of them then mounts on the host as well.
func (p propagation) mayLeak() bool {
	host := p.ofHost()
	return host&unix.MS_REC == 0 || host&(unix.MS_SLAVE|unix.MS_PRIVATE) == 0
}

// setHost is the first thing done in the container's mount namespace. roots are the
// directories, as host paths, on which something is mounted for the container.
func (p propagation) setHost(roots ...string) error {
	host := p.ofHost()
	if err := sys.Mount("", "/", "", uintptr(host), ""); err != nil {
		return fmt.Errorf("make the host's mounts %s: %w", host, err)
	}
	if !p.mayLeak() {
		return nil
	}
	// pivot_root(2) also refuses a root whose parent is shared.
	for _, root := range roots {
		if err := p.isolate(root); err != nil {
			return err
		}
	}
	return nil
}

// isolate takes the mount that holds a host path out of its peer group.
// Changing the propagation works at a mount's root only, and says EINVAL
// anywhere else.
func (p propagation) isolate(at string) error {
	for at = path.Clean(at); ; at = path.Dir(at) {
		err := sys.Mount("", at, "", uintptr(p.ofRoot()), "")
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINVAL) && at != "/":
		default:
			return fmt.Errorf("make %s %s: %w", at, p.ofRoot(), err)
		}
	}
}

// ofRoot returns the propagation that keeps the root and its parent from being shared.
// It is that of runc's root: a slave of its source's peers with rootfsPropagation slave
// or rslave, and private otherwise, whatever the mounts below it are.
func (p propagation) ofRoot() propagation {
	if p&unix.MS_SLAVE != 0 {
		return unix.MS_SLAVE
	}
	return unix.MS_PRIVATE
}

// setRoot gives the container's root its propagation at last. It comes after
// pivot_root(2), which refuses a shared root. The root is private or a slave already.
func (p propagation) setRoot(root int) error {
	if p == 0 || p&(unix.MS_PRIVATE|unix.MS_SLAVE) != 0 {
		return nil
	}
	if err := p.set(root); err != nil {
		return fmt.Errorf("make the root %s: %w", p, err)
	}
	return nil
}
