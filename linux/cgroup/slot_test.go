// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"os/exec"
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
		s, err := g.Place(1, false)
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

// A slot in which an exec left a process is not used again, costs no descriptor, and
// goes when it is empty.
func TestSlotWithALeftover(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	const many = 20
	var left []*exec.Cmd
	before := filesOpen(t, g)
	for range many {
		s, err := g.Place(1, false)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := pids(s.Dir()); len(list) != 0 || err != nil {
			t.Fatalf("a slot with processes in it was given away: %v, %v", list, err)
		}
		left = append(left, into(t, s.Dir(), "exec sleep 60"))
		s.Release() // its exec is over, a grandchild is not
	}
	if after := filesOpen(t, g); after != before {
		t.Errorf("%d execs that left a process behind keep %d descriptors", many, after-before)
	}
	for _, cmd := range left {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	for range many {
		s, err := g.Place(1, false)
		if err != nil {
			t.Fatal(err)
		}
		s.Release()
	}
	if names, err := children(g.Dir()); len(names) > 1 || err != nil {
		t.Errorf("slots that became empty are left: %v, %v", names, err)
	}
}

func TestSlotKillsTheWholeTreeAndNoOther(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	init := into(t, g.Dir(), "exec sleep 60")
	a, err := g.Place(1, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := g.Place(1, false)
	if err != nil {
		t.Fatal(err)
	}
	into(t, a.Dir(), "(setsid sleep 60 &) ; sleep 60")
	other := into(t, b.Dir(), "exec sleep 60")
	if err := a.Kill(Tree{}); err != nil {
		t.Fatal(err)
	}
	if err := waitFor(within(t), a.Dir(), "populated", 0); err != nil {
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
		s, err := g.Place(1, false)
		if err != nil {
			t.Fatal(err)
		}
		killed := into(t, s.Dir(), "exec sleep 60")
		if err := s.Kill(Tree{}); err != nil {
			t.Fatal(err)
		}
		if err := killed.Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		s.Release()
		if s, err = g.Place(1, false); err != nil {
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
	first, err := g.Place(1, false)
	if err != nil {
		t.Fatal(err)
	}
	first.Release()
	second, err := g.Place(1, false)
	if err != nil {
		t.Fatal(err)
	}
	next := into(t, second.Dir(), "read x")
	if err := first.Kill(Tree{}); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("%v; want ErrNotFound", err)
	}
	if err := next.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the next exec was killed: %v", err)
	}
	if err := second.Kill(Tree{}); err != nil {
		t.Error(err)
	}
	_ = next.Wait()
	second.Release()
}

func TestSlotThatTheContainerRemoved(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	s, err := g.Place(1, false)
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
	s, err = g.Place(1, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := into(t, s.Dir(), "exit 0").Wait(); err != nil {
		t.Error(err)
	}
	s.Release()
}

// What a container does with its group leaves fewer places, and an order among them.
func TestPlacesInTheirOrder(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	init := into(t, g.Dir(), "exec sleep 60").Process.Pid
	next := func(marked bool, kinds ...kind) {
		t.Helper()
		p, err := g.Place(init, marked)
		for i, kind := range kinds {
			if err != nil {
				t.Fatal(err)
			}
			if p.kind != kind || p.Shared() != (kind == withContainer) {
				t.Errorf("place %d is %d, not %d", i, p.kind, kind)
			}
			if err := start(p.Dir()); (err != nil) != (i < len(kinds)-1) || err != nil && !PlaceRefused(err) {
				t.Errorf("a clone into %s: %v", p.Dir().Name(), err)
			}
			if i == len(kinds)-1 {
				p.Release()
				return
			}
			p, err = p.Next(init)
		}
	}
	next(true, withContainer)
	next(false, inSlot)
	if err := writeFile(g.Dir(), "cgroup.max.descendants", "0"); err != nil {
		t.Fatal(err)
	}
	g.slots.close() // so another would have to be made
	g.slots.closed = false
	next(false, withContainer)
	if err := writeFile(g.Dir(), "cgroup.max.descendants", "max"); err != nil {
		t.Fatal(err)
	}
	// A threaded group below makes what is beside it invalid.
	thread := filepath.Join(h.Mountpoint, g.Path(), "thread")
	err := errors.Join(os.Mkdir(thread, 0o755), os.WriteFile(thread+"/cgroup.type", []byte("threaded"), 0))
	if err != nil {
		t.Fatal(err)
	}
	next(false, inSlot, withContainer)
	next(true, withContainer)
}

// TestPlaceAfterTheContainerLeft: init has gone to a group beside its own and has removed
// that.
func TestPlaceAfterTheContainerLeft(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	g, beside := newGroup(t, h, base+"/c"), newGroup(t, h, base+"/beside")
	init := into(t, beside.Dir(), "exec sleep 60").Process.Pid
	if err := os.Remove(filepath.Join(h.Mountpoint, g.Path())); err != nil {
		t.Fatal(err)
	}
	for _, marked := range []bool{false, true} {
		p, err := g.Place(init, marked)
		if err != nil {
			t.Fatal(err)
		}
		if err := start(p.Dir()); !PlaceRefused(err) {
			t.Errorf("a clone into a group that was removed: %v", err)
		}
		if p, err = p.Next(init); err != nil {
			t.Fatal(err)
		}
		if p.kind != withInit {
			t.Errorf("the place is %d", p.kind)
		}
		if err := start(p.Dir()); err != nil {
			t.Errorf("a clone beside init: %v", err)
		}
		if _, err := p.Next(init); !errors.Is(err, errdefs.ErrFailedPrecondition) {
			t.Errorf("after the last place: %v", err)
		}
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
				s, err := g.Place(1, false)
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
