// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// cloneBind opens a bind's source as a detached tree and gives it the options'
// attributes, propagation and owners. The source is a host path. Precondition: the
// calling thread's root is the host's, and nothing of the container is mounted.
func (s *Set) cloneBind(source string, o *options, owners *idMapping) (int, error) {
	tree, err := sys.CloneTree(unix.AT_FDCWD, source, o.rec)
	if err != nil {
		return -1, err
	}
	err = setBind(tree, source, o)
	if err == nil {
		err = s.mapOwners(tree, owners)
	}
	if err != nil {
		sys.Close(tree)
		return -1, err
	}
	return tree, nil
}

// cloneInRoot is cloneBind for a source inside the root, when it is the bind's turn:
// what was mounted there before is in sight.
func (s *Set) cloneInRoot(e *entry) (int, error) {
	fd, err := s.openInside(e.inside)
	if err != nil {
		return -1, err
	}
	defer sys.Close(fd)
	tree, err := sys.CloneTree(fd, "", e.options.rec)
	if err != nil {
		return -1, err
	}
	err = setBind(tree, e.source, &e.options)
	if err == nil {
		err = s.mapOwners(tree, e.idmap)
	}
	if err != nil {
		sys.Close(tree)
		return -1, err
	}
	return tree, nil
}

// setBind changes a detached tree: the flags of its topmost mount, then those
// for the whole tree, then the propagation. Name is the source, for errors.
func setBind(tree int, name string, o *options) error {
	if err := setBindAttrs(tree, name, o); err != nil {
		return err
	}
	return setPropagation(tree, o)
}

func setBindAttrs(tree int, name string, o *options) error {
	if exact, keep, ok := o.bindAttrs(); ok {
		attr := &exact
		err := sys.SetMountAttr(tree, false, attr)
		if errors.Is(err, unix.EPERM) {
			// Locked flags: mount_setattr(2) says EPERM when one would go.
			attr = &keep
			err = sys.SetMountAttr(tree, false, attr)
		}
		if err := explainLocked(tree, name, attr, err); err != nil {
			return err
		}
	}
	if o.recSet|o.recClear != 0 {
		attr := unix.MountAttr{Attr_set: o.recSet, Attr_clr: o.recClear}
		return explainLocked(tree, name, &attr, sys.SetMountAttr(tree, true, &attr))
	}
	return nil
}

func setPropagation(tree int, o *options) error {
	for _, p := range o.propagation {
		attr := unix.MountAttr{Propagation: p &^ unix.MS_REC}
		if err := sys.SetMountAttr(tree, p&unix.MS_REC != 0, &attr); err != nil {
			return fmt.Errorf("make it %s: %w", propagationName(p), err)
		}
	}
	return nil
}
