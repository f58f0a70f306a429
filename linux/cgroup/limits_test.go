// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// These tests need a unified host: they skip on a hybrid one, whose controllers
// are cgroup v1's.

// limited makes a group with the resources applied.
func limited(t *testing.T, h *Hierarchy, path, res string) *Group {
	t.Helper()
	r := resources(t, res)
	g, err := h.Create(path, r)
	if err != nil {
		t.Fatalf("%s: %v", res, err)
	}
	t.Cleanup(func() {
		if err := g.Delete(within(t)); err != nil {
			t.Error(err)
		}
	})
	if err := g.Apply(&specs.Linux{Resources: r}); err != nil {
		t.Fatalf("%s: %v", res, err)
	}
	return g
}

func needs(t *testing.T, controllers ...string) *Hierarchy {
	t.Helper()
	testenv.Root(t)
	h := openHierarchy(t)
	for _, c := range controllers {
		if !h.Controllers.Has(c) {
			t.Skipf("cgroup2 has no %s controller here", c)
		}
	}
	return h
}

// holds compares files of a group with what they should say; "" is no such file.
func holds(t *testing.T, g *Group, what string, files map[string]string) {
	t.Helper()
	for name, want := range files {
		data, err := readFile(g.Dir(), name)
		if want == "" && errors.Is(err, unix.ENOENT) {
			continue
		}
		if got := strings.TrimSpace(string(data)); got != want || err != nil {
			t.Errorf("%s: %s holds %q, %v; want %q", what, name, got, err, want)
		}
	}
}

// disk is the number of a whole disk, for io.max.
func disk(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/sys/block/[vsx]d*/dev")
	nvme, nerr := filepath.Glob("/sys/block/nvme*/dev")
	if err := errors.Join(err, nerr); err != nil {
		t.Fatal(err)
	}
	if found = append(found, nvme...); len(found) == 0 {
		t.Skip("this machine has no disk")
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func TestLimitsReachTheKernel(t *testing.T) {
	h := needs(t, "memory", "cpu", "cpuset", "pids")
	base := testBase(t, h)
	for _, c := range []struct {
		res   string
		files map[string]string
	}{
		{`{"memory":{"limit":67108864,"reservation":33554432,"swap":100663296}}`, map[string]string{"memory.max": "67108864", "memory.low": "33554432", "memory.swap.max": "33554432"}},
		{`{"memory":{"limit":67108864,"swap":67108864}}`, map[string]string{"memory.swap.max": "0"}},
		{`{"memory":{"limit":-1,"swap":4096}}`, map[string]string{"memory.max": "max", "memory.swap.max": "4096"}},
		{`{"memory":{"limit":524288}}`, map[string]string{"memory.max": "524288", "memory.swap.max": "max"}},
		{`{"cpu":{"shares":512}}`, map[string]string{"cpu.weight": "59", "cpu.max": "max 100000"}},
		{`{"cpu":{"shares":1024}}`, map[string]string{"cpu.weight": "100"}},
		{`{"cpu":{"quota":50000,"period":200000,"burst":20000}}`, map[string]string{"cpu.max": "50000 200000", "cpu.max.burst": "20000"}},
		{`{"cpu":{"period":50000}}`, map[string]string{"cpu.max": "max 50000"}},
		{`{"cpu":{"idle":1,"shares":1024}}`, map[string]string{"cpu.idle": "1"}},
		{`{"cpu":{"idle":0,"shares":2048}}`, map[string]string{"cpu.idle": "0", "cpu.weight": "174"}},
		{`{"cpu":{"cpus":"0","mems":"0"}}`, map[string]string{"cpuset.cpus": "0", "cpuset.mems": "0"}},
		{`{"pids":{"limit":42}}`, map[string]string{"pids.max": "42"}},
		{`{"pids":{"limit":0}}`, map[string]string{"pids.max": "1"}},
		{`{"pids":{"limit":-1}}`, map[string]string{"pids.max": "max"}},
		{`{"memory":{"limit":67108864},"unified":{"memory.high":"33554432","memory.max":"50331648","memory.oom.group":"1"}}`, map[string]string{"memory.high": "33554432", "memory.max": "50331648", "memory.oom.group": "1"}},
	} {
		holds(t, limited(t, h, base+"/c", c.res), c.res, c.files)
		g, err := h.Open(base + "/c")
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Delete(within(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestThrottlesReachTheKernel(t *testing.T) {
	h := needs(t, "io")
	dev := disk(t)
	major, minor, _ := strings.Cut(dev, ":")
	device := fmt.Sprintf(`{"major":%s,"minor":%s,"rate":`, major, minor)
	g := limited(t, h, testBase(t, h)+"/c", `{"blockIO":{"throttleReadBpsDevice":[`+device+`1048576}],"throttleWriteIOPSDevice":[`+device+`200}]}}`)
	holds(t, g, "throttles", map[string]string{"io.max": dev + " rbps=1048576 wbps=max riops=max wiops=200"})
	if err := g.Update(resources(t, `{"blockIO":{"throttleReadBpsDevice":[`+device+`0}]}}`)); err != nil {
		t.Fatal(err)
	}
	holds(t, g, "a throttle less", map[string]string{"io.max": dev + " rbps=max wbps=max riops=max wiops=200"})

	err := g.Update(resources(t, `{"blockIO":{"throttleReadBpsDevice":[{"major":4000,"minor":1,"rate":1}]}}`))
	if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "blockIO.throttleReadBpsDevice[0]") {
		t.Errorf("a device that is not there: %v", err)
	}
	err = g.Update(resources(t, `{"blockIO":{"weight":500}}`))
	bfq, io := readable(g, "io.bfq.weight"), readable(g, "io.weight")
	switch {
	case err != nil && (bfq || io):
		t.Errorf("blockIO.weight: %v", err)
	case err == nil && bfq:
		holds(t, g, "weight", map[string]string{"io.bfq.weight": "default 500"})
	case err == nil && io:
		holds(t, g, "weight", map[string]string{"io.weight": "default 4950"})
	case err == nil || !errors.Is(err, errdefs.ErrNotImplemented):
		t.Errorf("blockIO.weight where the kernel has none: %v", err)
	}
}

func readable(g *Group, name string) bool {
	_, err := readFile(g.Dir(), name)
	return err == nil
}

func TestHugePagesReachTheKernel(t *testing.T) {
	h := needs(t, "hugetlb", "memory")
	g := limited(t, h, testBase(t, h)+"/c", `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`)
	holds(t, g, "huge pages", map[string]string{"hugetlb.2MB.max": "4194304", "hugetlb.2MB.rsvd.max": "4194304"})
	err := g.Update(resources(t, `{"hugepageLimits":[{"pageSize":"3MB","limit":0}]}`))
	if !errors.Is(err, errdefs.ErrNotImplemented) || !strings.Contains(err.Error(), "hugepageLimits[0]") {
		t.Errorf("a size that there is not: %v", err)
	}
}

func TestUpdateLeavesTheRestAlone(t *testing.T) {
	h := needs(t, "memory", "cpu", "pids")
	g := limited(t, h, testBase(t, h)+"/c", `{"memory":{"limit":67108864,"swap":100663296},"cpu":{"quota":50000,"period":200000,"burst":20000,"shares":512},"pids":{"limit":42}}`)
	if err := g.Freeze(within(t)); err != nil { // a paused container is updated too
		t.Fatal(err)
	}
	want := map[string]string{"memory.max": "67108864", "memory.swap.max": "33554432", "cpu.max": "50000 200000", "cpu.max.burst": "20000", "cpu.weight": "59", "pids.max": "42"}
	for _, step := range []struct {
		res   string
		files map[string]string
	}{
		{`{"cpu":{"quota":70000}}`, map[string]string{"cpu.max": "70000 200000"}},
		{`{"cpu":{"period":100000}}`, map[string]string{"cpu.max": "70000 100000"}},
		{`{"cpu":{"quota":90000,"burst":90000}}`, map[string]string{"cpu.max": "90000 100000", "cpu.max.burst": "90000"}}, // both up
		{`{"cpu":{"quota":30000,"burst":10000}}`, map[string]string{"cpu.max": "30000 100000", "cpu.max.burst": "10000"}}, // both down
		{`{"cpu":{"shares":1024}}`, map[string]string{"cpu.weight": "100"}},
		{`{"memory":{"limit":134217728}}`, map[string]string{"memory.max": "134217728"}},
		{`{"memory":{"limit":134217728,"swap":-1}}`, map[string]string{"memory.swap.max": "max"}},
		{`{"pids":{"limit":-1}}`, map[string]string{"pids.max": "max"}},
		{`{"cpu":{"burst":0,"quota":-1}}`, map[string]string{"cpu.max": "max 100000", "cpu.max.burst": "0"}},
	} {
		if err := g.Update(resources(t, step.res)); err != nil {
			t.Errorf("%s: %v", step.res, err)
		}
		for k, v := range step.files {
			want[k] = v
		}
		holds(t, g, step.res, want)
	}
	err := g.Update(resources(t, `{"cpu":{"quota":1}}`))
	if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "linux.resources.cpu.quota") {
		t.Errorf("a quota below the kernel's least: %v", err)
	}
}

func TestCheckBeforeUpdate(t *testing.T) {
	h := needs(t, "memory")
	g := limited(t, h, testBase(t, h)+"/c", `{"memory":{"limit":67108864}}`)
	into(t, g.Dir(), "exec sleep 60")
	err := g.Update(resources(t, `{"memory":{"limit":1,"checkBeforeUpdate":true}}`))
	if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), "linux.resources.memory.limit") {
		t.Errorf("a limit below the use: %v", err)
	}
	holds(t, g, "after a refusal", map[string]string{"memory.max": "67108864"})
	if err := g.Update(resources(t, `{"memory":{"limit":33554432,"checkBeforeUpdate":true}}`)); err != nil {
		t.Error(err)
	}
}

func TestOnePid(t *testing.T) {
	h := needs(t, "pids")
	g := limited(t, h, testBase(t, h)+"/c", `{"pids":{"limit":0}}`)
	if err := into(t, g.Dir(), "exit 0").Wait(); err != nil {
		t.Errorf("init cannot start: %v", err)
	}
	if err := into(t, g.Dir(), "(exit 0) 2>/dev/null; exit 0").Wait(); err == nil {
		t.Error("init could fork")
	}
}

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

func TestStatsOfEveryController(t *testing.T) {
	h := needs(t, "memory", "cpu", "pids", "io")
	g := limited(t, h, testBase(t, h)+"/c", `{"memory":{"limit":67108864},"pids":{"limit":9},"cpu":{"quota":10000}}`)
	into(t, g.Dir(), "while :; do :; done")
	if err := into(t, g.Dir(), "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done").Wait(); err != nil {
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

// A container with systemd in it moves its processes below, and gives
// controllers to the groups there.
func TestSlotWhereTheContainerDelegates(t *testing.T) {
	h := needs(t, "memory")
	g := newGroup(t, h, testBase(t, h)+"/c")
	scope := filepath.Join(h.Mountpoint, g.Path(), "init.scope")
	if err := errors.Join(os.Mkdir(scope, 0o755), writeFile(g.Dir(), "cgroup.subtree_control", "+memory")); err != nil {
		t.Fatal(err)
	}
	dir, err := openDir(nil, scope)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	init := into(t, dir, "exec sleep 60")
	s, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	if err := start(s.Dir()); err != nil {
		t.Errorf("a slot beside init.scope: %v", err)
	}
	if s, err = s.Next(init.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := start(s.Dir()); !PlaceRefused(err) {
		t.Errorf("the container's own group: %v", err)
	}
	if s, err = s.Next(init.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := start(s.Dir()); err != nil {
		t.Errorf("beside init: %v", err)
	}
	s.Release()
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
	if !errors.Is(err, errdefs.ErrFailedPrecondition) || !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "enable controller memory below cgroup "+parent.Path()) {
		t.Errorf("with a limit: %v", err)
	}
	if exists(h, parent.Path()+"/c") {
		t.Error("what was made stays")
	}
}
