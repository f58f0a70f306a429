// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// slotPrefix and a number name the slots below a container's group.
const slotPrefix = "mini-exec-"

// slotNames bounds the search for a name that the container has not taken.
const slotNames = 1 << 12

// slots are the sub-cgroups of a container for execs that nothing else tells from
// the container's other processes. They have no descriptors while no exec has them.
type slots struct {
	mu     sync.Mutex
	free   []string // names of empty ones; guarded by mu
	left   []string // names of those that were killed or have a process that an exec left behind; guarded by mu
	next   int      // number of the next one; guarded by mu
	closed bool     // guarded by mu
}

// slot returns a sub-cgroup of the container that has no process in it.
//
// A slot that was killed is not used again: kernels that count the uses of
// cgroup.kill would kill the next exec at its birth (fork.Child.Stillborn), and the
// way around that costs more than a new group.
func (g *Group) slot() (*Place, error) {
	s := &g.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("place an exec in cgroup %s: %w", g.path, errdefs.ErrNotFound)
	}
	g.reclaimLocked()
	for len(s.free) > 0 {
		name := s.free[len(s.free)-1]
		dir, err := openDir(g.dir, name)
		if err != nil && !errors.Is(err, unix.ENOENT) { // the container removed it
			return nil, err
		}
		s.free = s.free[:len(s.free)-1]
		if err == nil {
			return &Place{g: g, kind: inSlot, dir: dir, slot: name}, nil
		}
	}
	return g.newSlotLocked()
}

// newSlotLocked makes the next sub-cgroup.
func (g *Group) newSlotLocked() (*Place, error) {
	for range slotNames {
		name := slotPrefix + strconv.Itoa(g.slots.next)
		g.slots.next++
		err := mkdirat(g.dir, name)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			return nil, err
		}
		dir, err := openDir(g.dir, name)
		if err != nil {
			return nil, errors.Join(err, rmdir(g.dir, name))
		}
		return &Place{g: g, kind: inSlot, dir: dir, slot: name}, nil
	}
	return nil, fmt.Errorf("place an exec in cgroup %s: no free name: %w", g.path, errdefs.ErrAlreadyExists)
}

// reclaimLocked removes slots that have become empty. It looks at two of them, so
// that there are no more in the end than have processes, and no exec pays for all.
func (g *Group) reclaimLocked() {
	s := &g.slots
	for range min(2, len(s.left)) {
		name := s.left[0]
		s.left = s.left[1:]
		if rmdir(g.dir, name) != nil {
			s.left = append(s.left, name)
		}
	}
}

// leaveSlot takes the slot of an exec that has ended back.
func (g *Group) leaveSlot(p *Place) {
	s := &g.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	p.released = true
	data, err := readFile(p.dir, "cgroup.events")
	p.dir.Close() // O_PATH
	switch {
	case err == nil && flatKey(string(data), "populated") == 0 && !p.killed:
		s.free = append(s.free, p.slot)
	case rmdir(g.dir, p.slot) != nil:
		s.left = append(s.left, p.slot)
	}
}

// killSlot sends SIGKILL to the exec and all its descendants. ErrNotFound: it was
// released.
func (g *Group) killSlot(p *Place) error {
	g.slots.mu.Lock()
	defer g.slots.mu.Unlock()
	if p.released {
		return fmt.Errorf("kill the exec's cgroup: it has ended: %w", errdefs.ErrNotFound)
	}
	p.killed = true
	err := writeFile(p.dir, "cgroup.kill", "1")
	if gone(err) || errors.Is(err, os.ErrClosed) { // removed since, so it was empty
		err = nil
	}
	return err
}

func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free, s.left, s.closed = nil, nil, true
}
