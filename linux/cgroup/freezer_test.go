// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestFreezeStopsEveryProcess(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	out := filepath.Join(t.TempDir(), "ticks")
	cmd := into(t, g.Dir(), "while :; do echo x >>"+out+"; sleep 0.002; done")
	size := func() int64 {
		st, err := os.Stat(out)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	grows := func(limit time.Duration) bool {
		was := size()
		for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			if size() > was {
				return true
			}
		}
		return false
	}
	if !grows(patience) {
		t.Fatal("the process does not run")
	}
	if err := g.Freeze(within(t)); err != nil {
		t.Fatal(err)
	}
	if grows(50 * time.Millisecond) {
		t.Error("a frozen process runs")
	}
	if err := g.Freeze(within(t)); err != nil {
		t.Errorf("freezing twice: %v", err)
	}
	if err := g.Thaw(within(t)); err != nil {
		t.Fatal(err)
	}
	if !grows(patience) {
		t.Error("a thawed process does not run")
	}
	if err := g.Freeze(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := g.Delete(within(t)); err != nil { // kills what is frozen
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

// A process that waits in the kernel cannot be frozen (integration, TestHungVolume):
// the freeze ends with ctx and is undone.
func TestFreezeThatDoesNotEnd(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	into(t, g.Dir(), "exec sleep 60")
	err := g.Freeze(ctx)
	if err == nil {
		t.Skip("the process froze at once")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if data, err := readFile(g.Dir(), "cgroup.freeze"); string(data) != "0\n" || err != nil {
		t.Errorf("cgroup.freeze is %q, %v", data, err)
	}
}

// TestThawBelowAFrozenGroup: it cannot be, which does not take for ever.
func TestThawBelowAFrozenGroup(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	g := newGroup(t, h, base+"/c")
	above, err := h.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	defer above.Close()
	into(t, g.Dir(), "exec sleep 60")
	if err := errors.Join(g.Freeze(within(t)), above.Freeze(within(t))); err != nil {
		t.Fatal(err)
	}
	if err := g.thaw(t.Context(), 10*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "thaw cgroup "+g.Path()+": not done after 10ms") {
		t.Error(err)
	}
	if err := errors.Join(above.Thaw(within(t)), g.Thaw(within(t))); err != nil {
		t.Error(err)
	}
	if data, err := readFile(g.Dir(), "cgroup.events"); flatKey(string(data), "frozen") != 0 || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

// TestFreezeWithAFrozenGroupBelow: what the container has frozen itself stays so, and
// is no obstacle to a pause, a resume, or the end.
func TestFreezeWithAFrozenGroupBelow(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/p/c")
	below := newGroup(t, h, g.Path()+"/below/deeper")
	// Not in g, whose controllers go on below: no process may be there.
	into(t, newGroup(t, h, g.Path()+"/own").Dir(), "exec sleep 60")
	cmd := into(t, below.Dir(), "exec sleep 60")
	frozen := func(g *Group) bool {
		data, err := readFile(g.Dir(), "cgroup.events")
		return err == nil && flatKey(string(data), "frozen") == 1
	}
	if err := below.Freeze(within(t)); err != nil || frozen(g) {
		t.Fatalf("below: %v; all frozen: %v", err, frozen(g))
	}
	for range 2 {
		if err := g.Freeze(within(t)); err != nil || !frozen(g) {
			t.Fatalf("freeze: %v, %v", frozen(g), err)
		}
		if err := g.Thaw(within(t)); err != nil || frozen(g) || !frozen(below) {
			t.Fatalf("thaw: %v, below %v, %v", frozen(g), frozen(below), err)
		}
	}
	if err := g.Delete(within(t)); err != nil || exists(h, g.Path()) {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Errorf("below: %v", err)
	}
}
