// SPDX-License-Identifier: Apache-2.0

package cgroup

import "os"

// walker visits the groups below one. A container may nest its groups deeper than the
// shim may have files open, so a walk holds two descriptors, whatever the depth: it goes
// down by name, and back up by "..", as no group can be moved. A function that is nil
// does nothing. Groups that are removed meanwhile are left out.
type walker struct {
	// into reports whether to visit the group and those below it.
	into func(parent *os.File, name string) (bool, error)
	// at is called in a group, before those below it.
	at func(dir *os.File) error
	// out is called when all below the group have been visited.
	out func(parent *os.File, name string) error
}

// level is a group on the way to where a walk is.
type level struct {
	name string   // in the group above
	rest []string // groups in it that were not visited yet
}

// below visits the groups below top, which stays the caller's.
func (w *walker) below(top *os.File) (err error) {
	here := top
	defer func() {
		if here != top {
			_ = here.Close() // O_PATH
		}
	}()
	names, err := children(top)
	if err != nil {
		return err
	}
	for way := []level{{rest: names}}; ; {
		at := &way[len(way)-1]
		var next *os.File
		switch {
		case len(at.rest) > 0:
			name := at.rest[0]
			at.rest = at.rest[1:]
			next, names, err = w.enter(here, name)
			if err == nil && next != nil {
				way = append(way, level{name, names})
			}
		case len(way) == 1:
			return nil
		default:
			name := at.name
			way = way[:len(way)-1]
			if next, err = up(here, top, len(way)); err == nil && w.out != nil {
				err = w.out(next, name)
			}
		}
		if next != nil {
			if here != top {
				_ = here.Close()
			}
			here = next
		}
		if err != nil {
			return err
		}
	}
}

// up returns the group above here, which is top where the way is one level long.
func up(here, top *os.File, levels int) (*os.File, error) {
	if levels == 1 {
		return top, nil
	}
	return openDir(here, "..")
}

// enter opens a group and lists those in it. nil: it is not to be visited.
func (w *walker) enter(parent *os.File, name string) (dir *os.File, names []string, err error) {
	if w.into != nil {
		if ok, err := w.into(parent, name); !ok || err != nil {
			return nil, nil, err
		}
	}
	dir, err = openDir(parent, name)
	if gone(err) {
		return nil, nil, nil
	}
	if err == nil && w.at != nil {
		err = w.at(dir)
	}
	if err == nil {
		names, err = children(dir)
	}
	if gone(err) {
		names, err = nil, nil // on the way back
	}
	return dir, names, err
}
