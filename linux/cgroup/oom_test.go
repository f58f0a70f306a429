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
		if n, err := g.OOMKills(); n != i+1 || err != nil { // before anybody is told
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

func TestOOMWithoutAMemoryController(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	if h.Controllers.Has("memory") {
		t.Skip("this machine's cgroup2 has a memory controller")
	}
	g := newGroup(t, h, testBase(t, h)+"/c")
	if n, err := g.OOMKills(); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	stop, err := g.WatchOOM(func() { t.Error("called") })
	if err != nil {
		t.Fatal(err)
	}
	stop()
}
