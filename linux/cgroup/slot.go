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

// slots holds the sub-cgroups of a container for execs without a Mark.
type slots struct {
	mu     sync.Mutex
	free   []*slot  // empty slots, open; guarded by mu
	left   []string // names of slots that were killed or in which an exec left a process; guarded by mu
	next   int      // number of the next slot; guarded by mu
	closed bool     // guarded by mu
}

// slot is a sub-cgroup for one exec at a time.
//
// A slot that was killed is not used again: kernels that count the uses of cgroup.kill
// would kill the next exec at its birth (fork.Child.Stillborn), and to avoid that
// costs more than a new group.
type slot struct {
	name   string
	dir    *os.File // O_PATH
	events *os.File // cgroup.events

	killed   bool // cgroup.kill was written; guarded by slots.mu
	released bool // guarded by slots.mu
}

// slot returns a slot that has no process in it.
func (g *Group) slot() (*slot, error) {
	s := &g.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("place an exec in cgroup %s: %w", g.path, errdefs.ErrNotFound)
	}
	g.reclaimLocked()
	for len(s.free) > 0 {
		last := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		if last.empty() {
			return last, nil
		}
		last.close() // the container removed it, or has put a process into it
		s.left = append(s.left, last.name)
	}
	return g.newSlotLocked()
}

// newSlotLocked makes the next sub-cgroup.
func (g *Group) newSlotLocked() (*slot, error) {
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
		events, err := open(dir, "cgroup.events", unix.O_RDONLY)
		if err != nil {
			dir.Close()
			return nil, errors.Join(err, rmdir(g.dir, name))
		}
		return &slot{name: name, dir: dir, events: events}, nil
	}
	return nil, fmt.Errorf("place an exec in cgroup %s: no free name: %w", g.path, errdefs.ErrAlreadyExists)
}

// reclaimLocked removes slots that have become empty. It looks at two for each exec, so
// that all empty ones go in the end, and no exec pays for all.
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

// leave takes back the slot of an exec that has ended. An empty slot stays open for the
// next exec.
func (g *Group) leave(own *slot) {
	s := &g.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	own.released = true
	if !s.closed && !own.killed && own.empty() {
		// A new value, so that a holder of the old one cannot kill the next exec.
		s.free = append(s.free, &slot{name: own.name, dir: own.dir, events: own.events})
		return
	}
	own.close()
	if rmdir(g.dir, own.name) != nil {
		s.left = append(s.left, own.name)
	}
}

// killSlot sends SIGKILL to the exec and all its descendants. ErrNotFound: the slot was
// released.
func (g *Group) killSlot(own *slot) error {
	g.slots.mu.Lock()
	defer g.slots.mu.Unlock()
	if own.released {
		return fmt.Errorf("kill the exec's cgroup: it has ended: %w", errdefs.ErrNotFound)
	}
	own.killed = true
	err := writeFile(own.dir, "cgroup.kill", "1")
	if gone(err) { // removed since, so it was empty
		err = nil
	}
	return err
}

func (s *slot) empty() bool {
	var buf [128]byte
	n, _ := s.events.ReadAt(buf[:], 0) // 0 where it was removed
	return n > 0 && flatKey(string(buf[:n]), "populated") == 0
}

func (s *slot) close() { s.dir.Close(); s.events.Close() }

func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, free := range s.free {
		free.close()
	}
	s.free, s.left, s.closed = nil, nil, true
}
