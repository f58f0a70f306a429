// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// cloneBind opens a bind's source as a detached tree and gives it the options'
// attributes and propagation, and the mapped owners. source is the path of a host's
// directory. Precondition: the calling thread's root is the host's, and nothing of the
// container is mounted.
func cloneBind(source string, o *options, m *idMapping, ns *mapNamespaces) (tree int, err error) {
	if tree, err = sys.CloneTree(unix.AT_FDCWD, source, o.rec); err != nil {
		return -1, err
	}
	return finishBind(tree, source, o, m, ns)
}

// cloneInRoot is like cloneBind for a source inside the root. It is called when it is
// the bind's turn: what was mounted there before is in sight.
func cloneInRoot(r *root, e *entry, ns *mapNamespaces) (int, error) {
	fd, err := r.openInside(e.inside)
	if err != nil {
		return -1, err
	}
	defer sys.Close(fd)
	tree, err := sys.CloneTree(fd, "", e.options.rec)
	if err != nil {
		return -1, err
	}
	return finishBind(tree, e.source, &e.options, e.idmap, ns)
}

// finishBind makes of a clone what the options say, or closes it.
func finishBind(tree int, source string, o *options, m *idMapping, ns *mapNamespaces) (int, error) {
	err := setBind(tree, source, o)
	if err == nil {
		err = ns.mapOwners(tree, m)
	}
	if err != nil {
		sys.Close(tree)
		return -1, err
	}
	return tree, nil
}

// setBind changes a detached tree: the flags of its topmost mount, then those
// for the whole tree, then the propagation. name is the source, for errors.
func setBind(tree int, name string, o *options) error {
	if err := setBindAttrs(tree, name, o); err != nil {
		return err
	}
	return setPropagation(tree, o.propagation)
}

func setBindAttrs(tree int, name string, o *options) error {
	if exact, keep, ok := o.bindAttrs(); ok {
		attr := &exact
		err := sys.SetMountAttr(tree, false, attr)
		if errors.Is(err, unix.EPERM) {
			// mount_setattr(2) returns EPERM when a locked flag would go.
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
