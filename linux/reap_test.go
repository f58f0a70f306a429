// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// child starts a child that nobody waits for.
func child(t *testing.T, program string, args ...string) (pid int, pidfd *os.File) {
	t.Helper()
	p, err := os.StartProcess(program, append([]string{program}, args...), &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	pid = p.Pid
	t.Cleanup(func() { _, _ = unix.Wait4(pid, nil, 0, nil) }) // or it was reaped
	if pidfd, err = sys.PidfdOpen(pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pidfd.Close() })
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	return pid, pidfd
}

// zombie starts a child that is dead when it returns.
func zombie(t *testing.T) (pid int, pidfd *os.File) {
	t.Helper()
	pid, pidfd = child(t, "/bin/true")
	if _, err := sys.PidfdEnded(pidfd); err != nil {
		t.Fatal(err)
	}
	return pid, pidfd
}

// isThere fails the test unless the child is, or is not, there to be waited for.
func isThere(t *testing.T, pidfd *os.File, want bool) {
	t.Helper()
	if _, err := sys.PidfdEnded(pidfd); (err == nil) != want {
		t.Errorf("the child is there: %t, want %t", err == nil, want)
	}
}

func newSet(t *testing.T) *pidSet {
	testenv.NoLeaks(t)
	s := &pidSet{pids: map[int]int{}, left: map[int]bool{}}
	s.expectOrphans()
	return s
}

func reap(t *testing.T, s *pidSet) {
	t.Helper()
	if err := s.reap(); err != nil {
		t.Fatal(err)
	}
}

// TestReap takes orphans, and no child that somebody waits for, from its birth on.
func TestReap(t *testing.T) {
	s := newSet(t)
	_, orphan := zombie(t)
	var own *os.File
	var pid int
	err := s.born(func() (int, error) {
		pid, own = zombie(t)
		reap(t, s)
		isThere(t, own, true)
		isThere(t, orphan, true)
		return pid, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	isThere(t, own, true)
	isThere(t, orphan, false) // the end of the birth has reaped it
	s.add(pid)                // as if its pid were another's by now
	s.remove(pid)
	reap(t, s)
	isThere(t, own, true)
	s.remove(pid)
	reap(t, s)
	isThere(t, own, false)
}

// TestReapBesideABirth: a birth that takes long keeps nobody waiting.
func TestReapBesideABirth(t *testing.T) {
	s := newSet(t)
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.born(func() (int, error) {
			close(begun)
			<-end
			return 0, os.ErrInvalid
		})
	}()
	<-begun
	pid, own := zombie(t)
	s.add(pid)
	_, orphan := zombie(t)
	s.remove(pid)
	reap(t, s) // all of which returns
	isThere(t, own, true)
	close(end)
	<-done
	isThere(t, own, false)
	isThere(t, orphan, false)
}

// TestLeave: a child that does not die when it is killed is reaped when it does.
func TestLeave(t *testing.T) {
	s := newSet(t)
	s.orphans = false
	pid, pidfd := child(t, "/bin/sleep", "1000")
	s.add(pid)
	s.leave(pid)
	reap(t, s)
	if err := sys.PidfdSend(pidfd, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	isThere(t, pidfd, true) // when it is dead
	reap(t, s)
	isThere(t, pidfd, false)
	if len(s.left) > 0 || len(s.pids) > 0 {
		t.Errorf("left: %v, %v", s.left, s.pids)
	}
}
