// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// slotPrefix and a number name the groups of execs below a container's.
const slotPrefix = "mini-exec-"

// slotNames bounds the search for a name that the container has not taken.
const slotNames = 1 << 12

// slots are the sub-cgroups of a container that its execs run in.
type slots struct {
	mu     sync.Mutex
	all    []*Slot // guarded by mu
	next   int     // number of the next one; guarded by mu
	closed bool    // guarded by mu
}

// Slot is the cgroup that one exec is cloned into. Release gives it back.
//
// A slot that was killed is not used again: kernels that count the uses of
// cgroup.kill would kill the next exec at its birth (fork.Child.Stillborn), and the
// way around that costs more than a new group.
type Slot struct {
	g      *Group
	name   string
	dir    *os.File // O_PATH
	events *os.File // cgroup.events; nil for a borrowed place
	place  place

	busy     bool // guarded by slots.mu, as are the next two
	killed   bool // cgroup.kill was, or is being, written
	released bool // what comes now is too late, and may mean another exec's group
}

// place says where an exec is, from the best to the last.
type place int

const (
	ownGroup  place = iota // a group of its own
	container              // the container's group
	withInit               // the group that init is in now
)

// Slot returns a place for an exec: a sub-cgroup of the container that has no
// process in it, reused from an earlier exec when there is one. It costs one
// pread(2) then, and two descriptors as long as the Group is open. Processes
// that an earlier exec left running keep their slot until they are gone. Where
// no sub-cgroup can be made (cgroup.max.descendants), it is the container's own
// group.
func (g *Group) Slot() (*Slot, error) {
	s := &g.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("place an exec in cgroup %s: %w", g.path, errdefs.ErrNotFound)
	}
	for i := 0; i < len(s.all); i++ {
		slot := s.all[i]
		if slot.busy {
			continue
		}
		switch empty, err := slot.empty(); {
		case err != nil, empty && slot.killed: // the container removed it, or we do
			slot.retire()
			s.all = append(s.all[:i], s.all[i+1:]...)
			i--
		case empty:
			slot.busy = true
			return slot, nil
		}
	}
	slot, err := g.newSlotLocked()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EOPNOTSUPP) {
		return &Slot{g: g, dir: g.dir, place: container}, nil
	}
	if err != nil {
		return nil, err
	}
	s.all = append(s.all, slot)
	return slot, nil
}

// newSlotLocked makes the next sub-cgroup.
func (g *Group) newSlotLocked() (*Slot, error) {
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
			return nil, err
		}
		events, err := open(dir, "cgroup.events", unix.O_RDONLY)
		if err != nil {
			dir.Close()
			return nil, err
		}
		return &Slot{g: g, name: name, dir: dir, events: events, busy: true}, nil
	}
	return nil, fmt.Errorf("place an exec in cgroup %s: no free name: %w", g.path, errdefs.ErrAlreadyExists)
}

// Next gives the slot back and returns the next best place, for a clone3(2)
// that failed with the slot's directory (see PlaceRefused): the container's own
// group, then the one that init is in. A container with systemd in it moves its
// processes and makes its groups threaded or delegates controllers, whatever
// was set up for it. pid is init's. The last place's Next is an error.
func (s *Slot) Next(pid int) (*Slot, error) {
	s.Release()
	switch s.place {
	case ownGroup:
		return &Slot{g: s.g, dir: s.g.dir, place: container}, nil
	case container:
		dir, err := s.g.h.openOf(pid)
		if err != nil {
			return nil, err
		}
		return &Slot{g: s.g, dir: dir, place: withInit}, nil
	case withInit:
	}
	return nil, fmt.Errorf("place an exec in cgroup %s: no group of the container takes processes: %w", s.g.path, errdefs.ErrFailedPrecondition)
}

// PlaceRefused tells whether an error of clone3(2) with CLONE_INTO_CGROUP, or of
// Enter, speaks of the cgroup: it gives controllers to its children (EBUSY), is below a
// threaded one (EOPNOTSUPP), or was removed (ENODEV).
func PlaceRefused(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENODEV)
}

// Dir is the directory for CLONE_INTO_CGROUP. It belongs to the slot.
func (s *Slot) Dir() *os.File { return s.dir }

// Own tells whether the exec has the group for itself.
func (s *Slot) Own() bool { return s.place == ownGroup }

// Kill sends SIGKILL to the exec and all its descendants. ErrFailedPrecondition
// when the exec shares its group, which then must not be killed; ErrNotFound
// after Release.
func (s *Slot) Kill() error {
	if !s.Own() {
		return fmt.Errorf("kill the exec's cgroup: it shares one with others of %s: %w", s.g.path, errdefs.ErrFailedPrecondition)
	}
	s.g.slots.mu.Lock()
	late := s.released
	s.killed = !late
	s.g.slots.mu.Unlock()
	if late {
		return fmt.Errorf("kill the exec's cgroup: it has ended: %w", errdefs.ErrNotFound)
	}
	err := writeFile(s.dir, "cgroup.kill", "1")
	if gone(err) || errors.Is(err, os.ErrClosed) { // removed since, so it was empty
		err = nil
	}
	return err
}

// WaitEmpty waits until nothing of the exec is left.
func (s *Slot) WaitEmpty(ctx context.Context) error {
	if !s.Own() {
		return fmt.Errorf("wait for the exec's cgroup: it shares one with others of %s: %w", s.g.path, errdefs.ErrFailedPrecondition)
	}
	if err := waitFor(ctx, s.dir, "populated", 0); err != nil && !gone(err) {
		return err
	}
	return nil
}

// Release gives the slot back, once the exec's process was reaped or never
// came to be. The slot is not to be used any more.
func (s *Slot) Release() {
	switch s.place {
	case ownGroup:
		s.g.slots.mu.Lock()
		defer s.g.slots.mu.Unlock()
		s.released = true
		if i := slices.Index(s.g.slots.all, s); i >= 0 { // the group is still open
			s.g.slots.all[i] = &Slot{g: s.g, name: s.name, dir: s.dir, events: s.events, killed: s.killed}
		}
	case withInit:
		s.dir.Close()
	case container:
	}
}

func (s *Slot) empty() (bool, error) {
	var buf [128]byte
	n, err := s.events.ReadAt(buf[:], 0)
	if n == 0 {
		return false, err
	}
	return flatKey(string(buf[:n]), "populated") == 0, nil
}

// retire removes the group of a slot, as far as the container has not done it or
// put something into it, and closes it.
func (s *Slot) retire() {
	_ = rmdir(s.g.dir, s.name)
	s.close()
}

func (s *Slot) close() { s.dir.Close(); s.events.Close() }

func (s *slots) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range s.all {
		slot.close()
	}
	s.all, s.closed = nil, true
	return nil
}
