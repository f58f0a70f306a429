// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func TestSlotsAreReused(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	for range 50 {
		s, err := g.Slot()
		if err != nil {
			t.Fatal(err)
		}
		if err := into(t, s.Dir(), "exit 0").Wait(); err != nil {
			t.Fatal(err)
		}
		s.Release()
	}
	names, err := children(g.Dir())
	if len(names) != 1 || err != nil {
		t.Errorf("50 execs one after the other made %v, %v", names, err)
	}
}

func TestSlotWithALeftoverWaitsForIt(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	first, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	left := into(t, first.Dir(), "exec sleep 60")
	first.Release() // its exec is over, a grandchild is not
	second, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	if second.Dir() == first.Dir() {
		t.Fatal("a slot with a process in it was given away")
	}
	if err := left.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = left.Wait()
	third, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	if third.Dir() != first.Dir() {
		t.Error("a slot that is empty again is not used")
	}
}

func TestSlotKillsTheWholeTreeAndNoOther(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	init := into(t, g.Dir(), "exec sleep 60")
	a, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	b, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	into(t, a.Dir(), "(setsid sleep 60 &) ; sleep 60")
	other := into(t, b.Dir(), "exec sleep 60")
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := a.WaitEmpty(within(t)); err != nil {
		list, perr := g.Pids()
		t.Fatalf("%v; processes in the container: %v, %v", err, list, perr)
	}
	for _, cmd := range []interface{ Signal(os.Signal) error }{init.Process, other.Process} {
		if err := cmd.Signal(unix.Signal(0)); err != nil {
			t.Errorf("a process beside the exec was killed: %v", err)
		}
	}
	if list, err := g.Pids(); len(list) != 2 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}

// The kernel may kill at its birth what is cloned into a group that was killed
// before.
func TestSlotThatWasKilledIsNotReused(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	for range 3 {
		s, err := g.Slot()
		if err != nil {
			t.Fatal(err)
		}
		killed := into(t, s.Dir(), "exec sleep 60")
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := killed.Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		s.Release()
		if s, err = g.Slot(); err != nil {
			t.Fatal(err)
		}
		if err := into(t, s.Dir(), "exit 0").Wait(); err != nil {
			t.Errorf("the exec after one that was killed: %v", err)
		}
		s.Release()
	}
	if names, err := children(g.Dir()); len(names) != 1 || err != nil {
		t.Errorf("groups that were killed are left: %v, %v", names, err)
	}
}

func TestSlotKillComesTooLate(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	first, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	first.Release()
	second, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	next := into(t, second.Dir(), "read x")
	if err := first.Kill(); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("%v; want ErrNotFound", err)
	}
	if err := next.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the next exec was killed: %v", err)
	}
	if err := second.Kill(); err != nil {
		t.Error(err)
	}
	_ = next.Wait()
	second.Release()
}

func TestSlotThatTheContainerRemoved(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	s, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	s.Release()
	if err := os.Remove(filepath.Join(h.Mountpoint, g.Path(), slotPrefix+"0")); err != nil {
		t.Fatal(err)
	}
	// and it has made the next one for itself
	if err := os.Mkdir(filepath.Join(h.Mountpoint, g.Path(), slotPrefix+"1"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err = g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	if err := into(t, s.Dir(), "exit 0").Wait(); err != nil {
		t.Error(err)
	}
	s.Release()
}

// A container that makes its group threaded, or has used up its descendants,
// leaves only its own group, and then the one that init is in.
func TestSlotFallsBack(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := writeFile(g.Dir(), "cgroup.max.descendants", "0"); err != nil {
		t.Fatal(err)
	}
	s, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	if s.Own() || s.Dir() != g.Dir() {
		t.Error("not the container's group")
	}
	if err := s.Kill(); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("a shared group can be killed: %v", err)
	}
	if err := writeFile(g.Dir(), "cgroup.max.descendants", "max"); err != nil {
		t.Fatal(err)
	}
	s.Release()

	init := into(t, g.Dir(), "exec sleep 60")
	thread := filepath.Join(h.Mountpoint, g.Path(), "thread")
	if err := errors.Join(os.Mkdir(thread, 0o755), os.WriteFile(thread+"/cgroup.type", []byte("threaded"), 0)); err != nil {
		t.Fatal(err)
	}
	if s, err = g.Slot(); err != nil {
		t.Fatal(err)
	}
	if err := start(s.Dir()); !PlaceRefused(err) {
		t.Errorf("a clone into an invalid domain: %v", err)
	}
	for _, own := range []bool{false, false} {
		if s, err = s.Next(init.Process.Pid); err != nil {
			t.Fatal(err)
		}
		if s.Own() != own {
			t.Errorf("own %v", s.Own())
		}
		if err := start(s.Dir()); err != nil {
			t.Errorf("a clone into %s: %v", s.Dir().Name(), err)
		}
	}
	if _, err := s.Next(init.Process.Pid); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("after the last place: %v", err)
	}
}

func TestSlotsOfManyExecsAtOnce(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	const together = 8
	var wg sync.WaitGroup
	for range together {
		wg.Go(func() {
			for range 10 {
				s, err := g.Slot()
				if err != nil {
					t.Error(err)
					return
				}
				if err := start(s.Dir()); err != nil {
					t.Error(err)
				}
				s.Release()
			}
		})
	}
	wg.Wait()
	if names, err := children(g.Dir()); len(names) > together || err != nil {
		t.Errorf("%d slots for %d execs at once, %v", len(names), together, err)
	}
}
