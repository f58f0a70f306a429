// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// CanKill tells whether the kernel has cgroup.kill (Linux 5.14). The root has no
// such file, so the groups below it are asked; on a host without any, the answer
// is true and Kill will say what is missing.
func (h *Hierarchy) CanKill() (bool, error) {
	names, err := children(h.dir)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		dir, err := openDir(h.dir, name)
		if gone(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return false, err
		}
		err = withFd(dir, func(fd int) error { return unix.Faccessat(fd, "cgroup.kill", unix.F_OK, 0) })
		dir.Close()
		switch {
		case err == nil:
			return true, nil
		case !gone(err):
			return false, err
		}
		if exists, _ := openDir(h.dir, name); exists != nil { // the group is there, its file is not
			exists.Close()
			return false, nil
		}
	}
	return true, nil
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
	if err := rmdir(parent, path.Base(g.path)); errors.Is(err, unix.EBUSY) {
		return nil
	} else if err != nil {
		return err
	}
	return g.h.removeParents(path.Dir(g.path))
}
