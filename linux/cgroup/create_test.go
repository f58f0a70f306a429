// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func TestCreateRefusesAGroupOfOthers(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	refused := func(why string) {
		t.Helper()
		_, err := h.Create(base+"/c", nil)
		if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), base+"/c: "+why) {
			t.Errorf("%v; want %q", err, why)
		}
		if !exists(h, base+"/c") {
			t.Error("a refused group was removed")
		}
	}
	g := newGroup(t, h, base+"/c")
	again := newGroup(t, h, base+"/c") // empty: it is taken
	if again.Path() != g.Path() {
		t.Error(again.Path())
	}
	if err := g.Freeze(within(t)); err != nil {
		t.Fatal(err)
	}
	refused("it is frozen")
	if err := g.Thaw(within(t)); err != nil {
		t.Fatal(err)
	}
	into(t, g.Dir(), "sleep 60")
	refused("it has processes")
}

// TestCreateTakesNoGroupThatGivesItsControllersAway: no process could be in it. It is
// somebody else's, and stays.
func TestCreateTakesNoGroupThatGivesItsControllersAway(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	dir := filepath.Join(h.Mountpoint, base)
	data, err := os.ReadFile(dir + "/cgroup.controllers")
	if err != nil {
		t.Fatal(err)
	}
	have := slices.DeleteFunc(parseControllers(string(data)), func(c string) bool { return slices.Contains(threaded, c) })
	if len(have) == 0 {
		t.Skip("there is no controller that is for domains alone")
	}
	if err := os.Mkdir(dir+"/c", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, dir + "/c"} {
		if err := os.WriteFile(d+"/cgroup.subtree_control", []byte("+"+have[0]), 0); err != nil {
			t.Fatal(err)
		}
	}
	_, err = h.Create(base+"/c", nil)
	if !errors.Is(err, errdefs.ErrFailedPrecondition) ||
		!strings.Contains(err.Error(), base+"/c: it gives controller "+have[0]) || !exists(h, base+"/c") {
		t.Errorf("there: %v; %v", exists(h, base+"/c"), err)
	}
	f, err := os.Open(dir + "/c")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := start(f); !errors.Is(err, unix.EBUSY) {
		t.Errorf("it takes a process: %v", err)
	}
}

func TestCreateBelowAThreadedGroup(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	thread := filepath.Join(h.Mountpoint, base, "thread")
	if err := os.Mkdir(thread, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(thread+"/cgroup.type", []byte("threaded"), 0); err != nil {
		t.Fatal(err)
	}
	_, err := h.Create(base+"/c", nil)
	if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), "domain invalid") {
		t.Error(err)
	}
	if exists(h, base+"/c") {
		t.Error("what was made stays")
	}
}

func TestCreateUndoesWhatItMadeForWantOfAController(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	if h.Controllers.has("memory") {
		t.Skip("this machine's cgroup2 has a memory controller")
	}
	_, err := h.Create(base+"/p/c", resources(t, `{"memory":{"limit":4096}}`))
	if !errors.Is(err, errdefs.ErrNotImplemented) || !strings.Contains(err.Error(), "linux.resources.memory.limit") {
		t.Error(err)
	}
	if exists(h, base+"/p") {
		t.Error("something was made")
	}
	g := newGroup(t, h, base+"/p/c")
	if err := g.Update(resources(t, `{"memory":{"limit":4096}}`)); !errors.Is(err, errdefs.ErrNotImplemented) {
		t.Error(err)
	}
	if err := g.Update(resources(t, `{"cpu":{"shares":1024},"unified":{"cgroup.max.descendants":"7"}}`)); err != nil {
		t.Error(err)
	}
	if data, err := readFile(g.Dir(), "cgroup.max.descendants"); string(data) != "7\n" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

func TestCreateBelowAGroupWithProcesses(t *testing.T) {
	h := needs(t, "memory")
	parent := newGroup(t, h, testBase(t, h)+"/p")
	into(t, parent.Dir(), "exec sleep 60")
	if g, err := h.Create(parent.Path()+"/free", nil); err != nil {
		t.Errorf("without limits: %v", err)
	} else if err := errors.Join(start(g.Dir()), g.Delete(within(t))); err != nil {
		t.Error(err)
	}
	_, err := h.Create(parent.Path()+"/c", resources(t, `{"memory":{"limit":67108864}}`))
	if !errors.Is(err, errdefs.ErrFailedPrecondition) || !errors.Is(err, unix.EBUSY) ||
		!strings.Contains(err.Error(), "enable controller memory below cgroup "+parent.Path()) {
		t.Errorf("with a limit: %v", err)
	}
	if exists(h, parent.Path()+"/c") {
		t.Error("what was made stays")
	}
}

// TestCreateWhereNoGroupMayBe: the parents that were made before the kernel said so
// do not stay, but for one that somebody uses.
func TestCreateWhereNoGroupMayBe(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	if err := os.WriteFile(filepath.Join(h.Mountpoint, base, "cgroup.max.depth"), []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
	for _, used := range []bool{false, true} {
		if used {
			newGroup(t, h, base+"/p/other")
		}
		_, err := h.Create(base+"/p/q/c", nil)
		if !errors.Is(err, errdefs.ErrResourceExhausted) || !strings.Contains(err.Error(), "cgroup.max.depth") {
			t.Error(err)
		}
		if exists(h, base+"/p/q") || exists(h, base+"/p") != used {
			t.Errorf("in use %v: p %v, q %v", used, exists(h, base+"/p"), exists(h, base+"/p/q"))
		}
	}
}

// An empty value is written, too: where there is no such file, that is an error.
func TestEmptyValues(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	for value, want := range map[string]error{
		`{"unified":{"cgroup.nothing":""}}`:         errdefs.ErrNotImplemented,
		`{"unified":{"cgroup.subtree_control":""}}`: nil,
	} {
		if err := g.Update(resources(t, value)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", value, err, want)
		}
	}
}

// TestCreateWhileParentsGo: containers that come and go in one parent, as those of
// several shims do, make it and remove it under each other's hands.
func TestCreateWhileParentsGo(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	var all sync.WaitGroup
	for shim := range 4 {
		all.Go(func() {
			for range 25 {
				g, err := h.Create(fmt.Sprintf("%s/p/q/%d", base, shim), nil)
				if err == nil {
					err = g.Delete(within(t))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if exists(h, base+"/p") {
		t.Error("the parents stay")
	}
}
