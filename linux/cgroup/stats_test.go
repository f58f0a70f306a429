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
	if _, _, err := g.OOMKills(); err != nil {
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
		func() error { _, _, err := g.OOMKills(); return err },
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

func TestStatsOfEveryController(t *testing.T) {
	h := needs(t, "memory", "cpu", "pids", "io")
	g := limited(t, h, testBase(t, h)+"/c", `{"memory":{"limit":67108864},"pids":{"limit":9},"cpu":{"quota":50000}}`)
	into(t, g.Dir(), "while :; do :; done")
	if err := into(t, g.Dir(), "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); done").Wait(); err != nil {
		t.Fatal(err)
	}
	m, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	for what, ok := range map[string]bool{
		"pids":       m.GetPids().GetCurrent() == 1 && m.GetPids().GetLimit() == 9,
		"memory":     m.GetMemory().GetUsage() > 0 && m.GetMemory().GetUsageLimit() == 67108864 && m.GetMemory().GetAnon() > 0 && m.GetMemory().GetPgfault() > 0,
		"throttling": m.GetCPU().GetNrPeriods() > 0 && m.GetCPU().GetNrThrottled() > 0 && m.GetCPU().GetThrottledUsec() > 0,
		"events":     m.GetMemoryEvents() != nil,
		"io":         m.GetIo() != nil,
		"hugetlb":    len(m.GetHugetlb()) == len(hugePageSizes()) || !h.Controllers.Has("hugetlb"),
	} {
		if !ok {
			t.Errorf("%s: %v", what, m)
		}
	}
}
