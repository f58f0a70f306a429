// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"

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
	have, err := g.controllers()
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]bool{
		"pids": after.Pids != nil, "memory": after.Memory != nil && after.MemoryEvents != nil, "io": after.Io != nil,
		"hugetlb": after.Hugetlb != nil, "rdma": after.Rdma != nil,
	} {
		if part != have.has(name) {
			t.Errorf("%s: controller %v, stats %v", name, have.has(name), part)
		}
	}
}

// TestStatsReadEachFileOnce: a call is one read of each file, which stays open.
func TestStatsReadEachFileOnce(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	const calls = 50
	stats := func() {
		for range calls {
			if _, err := g.Stats(); err != nil {
				t.Fatal(err)
			}
		}
	}
	stats()
	opened := maps.Clone(g.stat.files)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	of := func(f func()) int {
		before := readsOfThread(t)
		f()
		return readsOfThread(t) - before
	}
	nothing := of(func() {})
	if got, want := of(stats)-nothing, calls*len(opened); got != want {
		t.Errorf("%d reads for %d calls with %d files", got, calls, len(opened))
	}
	if !maps.Equal(opened, g.stat.files) {
		t.Error("files were opened again")
	}
}

// readsOfThread is how many read(2) and the like the thread has made
// (proc_pid_io(5)).
func readsOfThread(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/thread-self/io")
	if err != nil {
		t.Fatal(err)
	}
	var n int
	_, after, _ := strings.Cut(string(data), "syscr: ")
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n
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
			s, err := g.Place(1, false)
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
	memory := m.GetMemory()
	for what, ok := range map[string]bool{
		"pids":       m.GetPids().GetCurrent() == 1 && m.GetPids().GetLimit() == 9,
		"memory":     memory.GetUsage() > 0 && memory.GetUsageLimit() == 67108864,
		"faults":     memory.GetAnon() > 0 && memory.GetPgfault() > 0,
		"throttling": m.GetCPU().GetNrPeriods() > 0 && m.GetCPU().GetNrThrottled() > 0 && m.GetCPU().GetThrottledUsec() > 0,
		"events":     m.GetMemoryEvents() != nil,
		"io":         m.GetIo() != nil,
		"hugetlb":    len(m.GetHugetlb()) == len(hugePageSizes()) || !h.Controllers.has("hugetlb"),
	} {
		if !ok {
			t.Errorf("%s: %v", what, m)
		}
	}
}

// A group that somebody has removed has no figures, rather than zeros, and no limits.
func TestStatsOfWhatIsGone(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	for _, read := range []bool{false, true} {
		g := newGroup(t, h, base+"/c")
		if read {
			if _, err := g.Stats(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(h.Mountpoint, g.Path())); err != nil {
			t.Fatal(err)
		}
		if m, err := g.Stats(); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("read before: %v: %v, %v", read, m, err)
		}
		if err := g.Update(resources(t, `{"unified":{"cgroup.max.depth":"1"}}`)); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("update: %v", err)
		}
	}
}

// Where the kernel counts no pressure, the rest is there, and so is the pressure when
// it counts again.
func TestStatsWithoutPressure(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if !readable(g, "cgroup.pressure") { // Linux 6.1
		t.Skip("this kernel counts pressure always, or never")
	}
	for _, counts := range []string{"1", "0", "1"} {
		if err := g.Write("cgroup.pressure", counts); err != nil {
			t.Fatal(err)
		}
		if m, err := g.Stats(); err != nil || m.CPU == nil || (m.CPU.PSI != nil) != (counts == "1") {
			t.Errorf("cgroup.pressure %s: %v, %v", counts, m, err)
		}
	}
}

// What Stats keeps open is closed with the group, which has no figures after that.
func TestStatsOfAClosedGroup(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	open := func() int { return filesOpen(t, g) }
	if _, err := g.Stats(); err != nil || open() < 3 {
		t.Fatalf("%d files are open, %v", open(), err)
	}
	other, err := h.Open(g.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil || open() != 1 { // the other's
		t.Errorf("%d files are open, %v", open(), err)
	}
	if m, err := g.Stats(); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("%v, %v", m, err)
	}
	if err := other.Delete(within(t)); err != nil {
		t.Error(err)
	}
}

// filesOpen is how many files in the group's directory are open here.
func filesOpen(t *testing.T, g *Group) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		file, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err == nil && strings.HasPrefix(file, filepath.Join(g.h.Mountpoint, g.Path())) {
			n++
		}
	}
	return n
}
