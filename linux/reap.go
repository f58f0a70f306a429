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
var own = pidSet{pids: map[int]bool{}}

type pidSet struct {
	mu      sync.Mutex
	pids    map[int]bool // guarded by mu
	orphans bool         // guarded by mu; a container shares the shim's pid namespace
	hold    bool         // guarded by mu; criu makes a child of which only it knows the pid

	adoption sync.Mutex // one at a time; taken before mu
}

// born runs start, which makes a child and returns its pid, so that Reap never
// sees the child before it is known.
func (s *pidSet) born(start func() (int, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := start()
	if err == nil {
		s.pids[pid] = true
	}
	return err
}

func (s *pidSet) add(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pids[pid] = true
}

func (s *pidSet) remove(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pids, pid)
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
	s.setHold(true)
	err := restore()
	s.setHold(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.reapLocked())
}

func (s *pidSet) setHold(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = on
}

// Reap takes the exit status of orphans: descendants of containers without a pid
// namespace of their own, which reparent to the shim as their subreaper. It never
// touches a process that somebody here waits for, and costs nothing where every
// container has its own pid namespace. Call it on SIGCHLD.
func Reap() error {
	own.mu.Lock()
	defer own.mu.Unlock()
	if !own.orphans || own.hold {
		return nil
	}
	return own.reapLocked()
}

func (s *pidSet) reapLocked() error {
	pids, err := sys.Children()
	if err != nil {
		return fmt.Errorf("reap orphans: %w", err)
	}
	for _, pid := range pids {
		if !s.pids[pid] {
			// 0: it lives. ECHILD: it was no child any more.
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
	return nil
}
