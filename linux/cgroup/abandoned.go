// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// RemoveEmpty removes the group if it has neither processes nor groups, and those
// parents that mini made and that are empty then. A group that is in use stays,
// without an error: it is somebody else's.
func (g *Group) RemoveEmpty() error {
	parent, err := g.parent()
	if gone(err) {
		return g.h.removeParents(path.Dir(g.path))
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
