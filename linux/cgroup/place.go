// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Place is the cgroup that one exec is cloned into. Release returns it.
type Place struct {
	g    *Group
	kind kind
	dir  *os.File // O_PATH
	next []kind   // the places to try after it

	slot *slot // or nil
}

// kind says where an exec is.
type kind int

const (
	withContainer kind = iota // the container's group
	inSlot                    // a sub-cgroup of its own
	withInit                  // the group that init is in now
)

// Place returns where to clone an exec into. If marked, the exec will have a Mark, and
// its place is the container's group, where the exec sees the limits. Otherwise its place
// is a slot, so that cgroup.kill ends all of the exec.
func (g *Group) Place(pid int, marked bool) (*Place, error) {
	order := []kind{inSlot, withContainer, withInit}
	if marked {
		order = []kind{withContainer, inSlot, withInit}
	}
	return g.first(pid, order)
}

// Next returns the place and takes the next best one, after a clone3(2) that failed
// with the place's directory (see PlaceRefused). A container with systemd in it moves
// its processes, and makes its groups threaded or delegates controllers. A container with
// a cgroup mount may even remove its own group. pid is init's. Next of the last place
// returns an error.
func (p *Place) Next(pid int) (*Place, error) {
	p.Release()
	return p.g.first(pid, p.next)
}

// first returns the first place that is available.
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

// PlaceRefused reports whether an error of clone3(2) with CLONE_INTO_CGROUP, or of
// Enter, is about the cgroup: it gives controllers to its children (EBUSY), is below a
// threaded one (EOPNOTSUPP), or was removed before the call (ENOENT) or during it
// (ENODEV).
func PlaceRefused(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EOPNOTSUPP) || gone(err)
}

// Dir returns the directory for CLONE_INTO_CGROUP. The Place closes it.
func (p *Place) Dir() *os.File { return p.dir }

// Shared reports whether the place is the container's own group. A cgroup namespace that
// the exec makes there has the same root as the container's.
func (p *Place) Shared() bool { return p.kind == withContainer }

// MoveIn moves a process into the place; pid is the caller's for it. EAGAIN: there is no
// room for it, and it is in the place all the same.
func (p *Place) MoveIn(pid int) error { return Enter(p.dir, pid) }

// MoveOut moves a process from the place into the shim's own cgroup.
func (p *Place) MoveOut(pid int) error {
	dir, err := p.g.h.openOf(os.Getpid())
	if err != nil {
		return err
	}
	defer dir.Close() // O_PATH
	return Enter(dir, pid)
}

// Release returns the place. Call it when the exec's process was reaped or was never
// made. Afterwards only a late Kill may be called.
func (p *Place) Release() {
	switch p.kind {
	case inSlot:
		p.g.leave(p.slot)
	case withInit:
		p.dir.Close() // O_PATH
	case withContainer:
	}
}

// Kill sends SIGKILL to the exec and to all that it has started: to all in its slot, or
// to those that t finds. ErrNotFound: the place was released.
func (p *Place) Kill(t Tree) error {
	if p.kind == inSlot {
		return errors.Join(t.signalFirst(), p.g.killSlot(p.slot))
	}
	return t.kill(p)
}
