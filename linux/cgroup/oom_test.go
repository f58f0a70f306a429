// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestOOMKillsAreCountedAndTold(t *testing.T) {
	h := needs(t, "memory")
	g := limited(t, h, testBase(t, h)+"/c", `{"memory":{"limit":8388608,"swap":8388608}}`)
	told := make(chan struct{}, 64)
	stop, err := g.WatchOOM(func() { told <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) {
		if err := into(t, g.Dir(), "exec tail /dev/zero").Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		if n, _, err := g.OOMKills(); n != i+1 || err != nil { // before anybody is told
			t.Errorf("%d kills counted, %v; want %d", n, err, i+1)
		}
	}
	select {
	case <-told:
	case <-within(t).Done():
		t.Error("nobody was told")
	}
	stop()
	stop()
	m, err := g.Stats()
	if err != nil || m.GetMemoryEvents().GetOomKill() != 3 {
		t.Errorf("stats: %v, %v", m.GetMemoryEvents(), err)
	}
}

// TestOOMKillsOfAnotherTime: a group that was there, empty, has kills of its own past.
func TestOOMKillsOfAnotherTime(t *testing.T) {
	h := needs(t, "memory")
	g := limited(t, h, testBase(t, h)+"/c", `{"memory":{"limit":8388608,"swap":8388608}}`)
	for i := range uint64(2) {
		again := newGroup(t, h, g.Path())
		if n, _, err := again.OOMKills(); n != 0 || err != nil {
			t.Errorf("%d kills before the first, %v", n, err)
		}
		if err := into(t, again.Dir(), "exec tail /dev/zero").Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		if n, _, err := again.OOMKills(); n != 1 || err != nil {
			t.Errorf("%d kills counted, %v", n, err)
		}
		if n, _, err := g.OOMKills(); n != i+1 || err != nil {
			t.Errorf("%d kills counted in all, %v", n, err)
		}
	}
}

func TestOOMWithoutAMemoryController(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	if h.Controllers.has("memory") {
		t.Skip("this machine's cgroup2 has a memory controller")
	}
	g := newGroup(t, h, testBase(t, h)+"/c")
	if n, _, err := g.OOMKills(); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	stop, err := g.WatchOOM(func() { t.Error("called") })
	if err != nil {
		t.Fatal(err)
	}
	stop()
}

// TestOOMKillsOfAGroupThatIsGone: those of a group that systemd has removed are
// found in the one above; those of the groups beside it are not taken for its own,
// as far as that can be known.
func TestOOMKillsOfAGroupThatIsGone(t *testing.T) {
	h := needs(t, "memory")
	base := testBase(t, h)
	const limit = `{"memory":{"limit":8388608,"swap":8388608}}`
	beside := limited(t, h, base+"/beside", limit)
	g := limited(t, h, base+"/c", limit)
	scope, err := h.Adopt(g.Path(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer scope.Close()
	is := func(when string, want uint64, wantSure bool) {
		t.Helper()
		if n, sure, err := scope.OOMKills(); n != want || sure != wantSure || err != nil {
			t.Errorf("%s: %d, %v, %v; want %d, %v", when, n, sure, err, want, wantSure)
		}
	}
	_ = into(t, beside.Dir(), "exec tail /dev/zero").Wait()
	is("of another", 0, true)
	_ = into(t, g.Dir(), "exec tail /dev/zero").Wait()
	is("its own", 1, true)
	_ = into(t, g.Dir(), "exec tail /dev/zero").Wait()
	if err := g.Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	n, sure, err := scope.OOMKills()
	if n != 2 || err != nil { // of many kills the log does not have all: then it is not sure
		t.Errorf("the last thing in it: %d, %v, %v; want 2", n, sure, err)
	}
}
