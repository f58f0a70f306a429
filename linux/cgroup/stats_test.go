// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"sync"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestStatsCountTheCPU(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	before, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if err := into(t, g.Dir(), "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done").Wait(); err != nil {
		t.Fatal(err)
	}
	after, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if after.GetCPU().GetUsageUsec() <= before.GetCPU().GetUsageUsec() {
		t.Errorf("%d microseconds before, %d after", before.GetCPU().GetUsageUsec(), after.GetCPU().GetUsageUsec())
	}
	if after.GetCPU().GetPSI().GetSome() == nil {
		t.Error("no cpu.pressure")
	}
	have, err := g.Controllers()
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]bool{
		"pids": after.Pids != nil, "memory": after.Memory != nil && after.MemoryEvents != nil, "io": after.Io != nil,
		"hugetlb": after.Hugetlb != nil, "rdma": after.Rdma != nil,
	} {
		if part != have.Has(name) {
			t.Errorf("%s: controller %v, stats %v", name, have.Has(name), part)
		}
	}
}

// Stats answers while every other operation of the group is held up.
func TestStatsWaitForNothing(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	g.mu.Lock()
	g.slots.mu.Lock()
	defer g.mu.Unlock()
	defer g.slots.mu.Unlock()
	if _, err := g.Stats(); err != nil {
		t.Error(err)
	}
	if _, err := g.Pids(); err != nil {
		t.Error(err)
	}
	if _, err := g.OOMKills(); err != nil {
		t.Error(err)
	}
}

func TestEverythingAtOnce(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	var wg sync.WaitGroup
	for _, f := range []func() error{
		func() error { _, err := g.Stats(); return err },
		func() error { _, err := g.Pids(); return err },
		func() error { return g.Update(resources(t, `{"devices":[{"allow":true,"access":"rwm"}]}`)) },
		func() error { return g.Update(resources(t, `{"devices":[{"allow":false,"access":"rwm"}]}`)) },
		func() error { return g.Apply(nil) },
		func() error {
			s, err := g.Slot()
			if err == nil {
				s.Release()
			}
			return err
		},
		func() error { _, err := g.OOMKills(); return err },
	} {
		wg.Go(func() {
			for range 50 {
				if err := f(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
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
