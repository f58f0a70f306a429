// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"

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
	err = setBind(tree, o)
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
	err = setBind(tree, &e.options)
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
// for the whole tree, then the propagation.
func setBind(tree int, o *options) error {
	if err := setBindAttrs(tree, o); err != nil {
		return err
	}
	return setPropagation(tree, o)
}

func setBindAttrs(tree int, o *options) error {
	if exact, keep, ok := o.bindAttrs(); ok {
		err := sys.SetMountAttr(tree, false, &exact)
		if errors.Is(err, unix.EPERM) {
			// Locked flags: mount_setattr(2) says EPERM when one would go.
			err = sys.SetMountAttr(tree, false, &keep)
		}
		if err != nil {
			return err
		}
	}
	if o.recSet|o.recClear != 0 {
		return sys.SetMountAttr(tree, true, &unix.MountAttr{Attr_set: o.recSet, Attr_clr: o.recClear})
	}
	return nil
}

func setPropagation(tree int, o *options) error {
	for _, p := range o.propagation {
		attr := unix.MountAttr{Propagation: p &^ unix.MS_REC}
		if err := sys.SetMountAttr(tree, p&unix.MS_REC != 0, &attr); err != nil {
			return err
		}
	}
	return nil
}
