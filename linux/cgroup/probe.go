// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// CanKill tells whether the kernel has cgroup.kill (Linux 5.14). The root has no
// such file, so the first group below it is asked; on a host without any, the
// answer is true and Kill will say what is missing.
func (h *Hierarchy) CanKill() (bool, error) {
	names, err := children(h.dir)
	if err != nil || len(names) == 0 {
		return err == nil, err
	}
	err = withFd(h.dir, func(fd int) error {
		return unix.Faccessat(fd, path.Join(names[0], "cgroup.kill"), unix.F_OK, 0)
	})
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// RemoveEmpty removes the group if it has neither processes nor groups, and those
// parents that mini made and that are empty then. A group that is in use stays,
// without an error: it is somebody else's.
func (g *Group) RemoveEmpty() error {
	parent, err := openDir(g.dir, "..")
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := rmdir(parent, path.Base(g.path)); err != nil {
		if errors.Is(err, unix.EBUSY) {
			return nil
		}
		return err
	}
	return g.h.removeParents(path.Dir(g.path))
}
