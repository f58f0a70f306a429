// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// own holds the children that somebody in this process waits for: containers'
// processes and helper programs, between their start and their wait.
var own = pidSet{pids: map[int]int{}, left: map[int]bool{}}

// pidSet tells our children from orphans. A child is born in three steps: hold, the
// clone, release with its pid. Nothing is reaped between hold and release, so no
// reaper sees the child before it is known. mu is held over none of them: a clone may
// take long, and whoever ends a process takes mu.
type pidSet struct {
	mu      sync.Mutex
	pids    map[int]int  // guarded by mu; a pid is twice in it when it was reused before its remove
	left    map[int]bool // guarded by mu; killed children for whose death nobody waits any more
	orphans bool         // guarded by mu; a container shares the shim's pid namespace
	holds   int          // guarded by mu; children that are being born
	due     bool         // guarded by mu; the last release must reap

	adoption sync.Mutex // one at a time; taken before mu
}

// born runs start, which makes a child and returns its pid, so that Reap never
// sees the child before it is known.
func (s *pidSet) born(start func() (int, error)) error {
	s.hold()
	pid, err := start()
	if err == nil {
		s.add(pid)
	}
	// What cannot be read now is due still.
	_ = s.release(false)
	return err
}

func (s *pidSet) add(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pids[pid]++
}

func (s *pidSet) remove(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(pid)
}

func (s *pidSet) removeLocked(pid int) {
	if s.pids[pid]--; s.pids[pid] <= 0 {
		delete(s.pids, pid)
	}
}

// leave gives up a child that was killed and does not die: Reap takes its exit
// status whenever it comes.
func (s *pidSet) leave(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(pid)
	s.left[pid] = true
	s.reapLeftLocked() // it may have died just now
}

// expectOrphans makes Reap work. Precondition: called before the first process
// of such a container exists.
func (s *pidSet) expectOrphans() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orphans = true
}

// adopt runs restore, in which somebody else makes a child of this process
// (CLONE_PARENT). Nothing is reaped until restore has added the child, or it is
// known that it will not: then whatever is dead of it is reaped here.
func (s *pidSet) adopt(restore func() error) error {
	s.adoption.Lock()
	defer s.adoption.Unlock()
	s.hold()
	err := restore()
	return errors.Join(err, s.release(true))
}

func (s *pidSet) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds++
}

// release ends a hold. due says that there may be dead children that nobody knows.
func (s *pidSet) release(due bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds--
	s.due = s.due || due
	return s.reapLocked()
}

// Reap takes the exit status of orphans: descendants of containers without a pid
// namespace of their own, which reparent to the shim as their subreaper. It never
// touches a process that somebody here waits for, and costs nothing where every
// container has its own pid namespace. Call it on SIGCHLD.
func Reap() error { return own.reap() }

func (s *pidSet) reap() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reapLeftLocked()
	s.due = s.due || s.orphans
	return s.reapLocked()
}

// reapLocked reaps what is due, unless a child is being born: then the last birth
// does.
func (s *pidSet) reapLocked() error {
	if !s.due || s.holds > 0 {
		return nil
	}
	pids, err := sys.Children()
	if err != nil {
		return fmt.Errorf("reap orphans: %w", err)
	}
	s.due = false
	for _, pid := range pids {
		if s.pids[pid] == 0 && reaped(pid) {
			delete(s.left, pid)
		}
	}
	return nil
}

// reapLeftLocked reaps those of left that have died. Their pids are nobody else's
// until then.
func (s *pidSet) reapLeftLocked() {
	for pid := range s.left {
		if reaped(pid) {
			delete(s.left, pid)
		}
	}
}

// reaped reports whether the child is gone, and reaps it if it is dead.
func reaped(pid int) bool {
	got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return got == pid || errors.Is(err, unix.ECHILD)
}
