// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Place is the cgroup that one exec is cloned into. Release gives it back.
type Place struct {
	g    *Group
	kind kind
	dir  *os.File // O_PATH
	next []kind   // what comes after it

	slot *slot // or nil
}

// kind says where an exec is.
type kind int

const (
	withContainer kind = iota // the container's group
	inSlot                    // a sub-cgroup of its own
	withInit                  // the group that init is in now
)

// Place returns where to clone an exec into. marked says that the exec will have a
// Mark: then it is the container's group, in which the limits can be seen. Else it is
// a slot, so that cgroup.kill ends all of the exec.
func (g *Group) Place(pid int, marked bool) (*Place, error) {
	order := []kind{inSlot, withContainer, withInit}
	if marked {
		order = []kind{withContainer, inSlot, withInit}
	}
	return g.first(pid, order)
}

// Next gives the place back and returns the next best one, for a clone3(2) that failed
// with the place's directory (see PlaceRefused). A container with systemd in it moves
// its processes and makes its groups threaded or delegates controllers, whatever was
// set up for it; one that has a cgroup mount may even remove its own group. pid is
// init's. The last place's Next is an error.
func (p *Place) Next(pid int) (*Place, error) {
	p.Release()
	return p.g.first(pid, p.next)
}

// first returns the first of the places that can be had.
func (g *Group) first(pid int, order []kind) (*Place, error) {
	for len(order) > 0 {
		p, err := g.place(pid, order[0])
		order = order[1:]
		if err == nil {
			p.next = order
			return p, nil
		}
		// cgroup.max.descendants; a threaded group; it was removed
		refused := errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EOPNOTSUPP) || gone(err)
		if !refused || len(order) == 0 {
			return nil, err
		}
	}
	const why = "no group of the container takes processes"
	return nil, fmt.Errorf("place an exec in cgroup %s: %s: %w", g.path, why, errdefs.ErrFailedPrecondition)
}

func (g *Group) place(pid int, k kind) (*Place, error) {
	switch k {
	case inSlot:
		own, err := g.slot()
		if err != nil {
			return nil, err
		}
		return &Place{g: g, kind: inSlot, dir: own.dir, slot: own}, nil
	case withInit:
		dir, err := g.h.openOf(pid)
		if err != nil {
			return nil, err
		}
		return &Place{g: g, kind: withInit, dir: dir}, nil
	case withContainer:
	}
	return &Place{g: g, kind: withContainer, dir: g.dir}, nil
}

// PlaceRefused tells whether an error of clone3(2) with CLONE_INTO_CGROUP, or of
// Enter, speaks of the cgroup: it gives controllers to its children (EBUSY), is below a
// threaded one (EOPNOTSUPP), or was removed, before the call (ENOENT) or during it
// (ENODEV).
func PlaceRefused(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EOPNOTSUPP) || gone(err)
}

// Dir is the directory for CLONE_INTO_CGROUP. It belongs to the Place.
func (p *Place) Dir() *os.File { return p.dir }

// Shared tells whether it is the container's own group: there a cgroup namespace that
// the exec makes has the same root as the container's.
func (p *Place) Shared() bool { return p.kind == withContainer }

// Release gives the place back, once the exec's process was reaped or never came to
// be. The Place is not to be used any more, but for a Kill that comes late.
func (p *Place) Release() {
	switch p.kind {
	case inSlot:
		p.g.leave(p.slot)
	case withInit:
		p.dir.Close() // O_PATH
	case withContainer:
	}
}

// Kill sends SIGKILL to the exec and to all that it has started: with a slot to all in
// it, else to those that t finds. ErrNotFound: it was released.
func (p *Place) Kill(t Tree) error {
	if p.kind == inSlot {
		return errors.Join(t.signalFirst(), p.g.killSlot(p.slot))
	}
	return t.kill(p)
}
