// SPDX-License-Identifier: Apache-2.0

package mount

import "fmt"

// maker says who makes a mount, and with which calls.
type maker uint8

const (
	makeBind    maker = iota // the thread clones a tree of the host: open_tree(2)
	makeChild                // the child makes a superblock
	makeFS                   // the thread makes a superblock: fsopen(2)
	makeLegacy               // the thread calls mount(2)
	makeRemount              // the thread changes what is mounted there
)

// entry is one mount of the spec.
type entry struct {
	fstype  string // "bind" for a bind
	source  string // absolute host path of a bind
	dest    string // clean and absolute
	options options
	maker   maker
	super   Superblock // makeChild, makeFS
	child   int        // makeChild: index in plan.supers
	inRoot  bool       // a bind whose source is inside the root
	inside  string     // inRoot: the source as the container sees it
	relabel bool       // its root gets the mount label
	lateRO  bool       // made read-only when all is in place
	idmap   *idMapping // makeBind: maps the owners of its files; nil: they stay
	fd      int        // makeBind: the clone, from Begin until it is attached
}

// wrap adds to an error which mount of the specification it is about; nil stays nil.
func (e *entry) wrap(err error) error {
	if err != nil && e.maker == makeRemount {
		return fmt.Errorf("remount %s: %w", e.dest, err)
	}
	return wrap(e.fstype, e.dest, err)
}
