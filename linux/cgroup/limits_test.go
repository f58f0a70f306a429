// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
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
		if !h.Controllers.has(c) {
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
	want := map[string]string{
		"memory.max":      "67108864",
		"memory.swap.max": "33554432",
		"cpu.max":         "50000 200000",
		"cpu.max.burst":   "20000",
		"cpu.weight":      "59",
		"pids.max":        "42",
	}
	for _, step := range []struct {
		res   string
		files map[string]string
	}{
		{`{"cpu":{"quota":70000}}`, map[string]string{"cpu.max": "70000 200000"}},
		{`{"cpu":{"period":100000}}`, map[string]string{"cpu.max": "70000 100000"}},
		{`{"cpu":{"quota":90000,"burst":90000}}`, map[string]string{"cpu.max": "90000 100000", "cpu.max.burst": "90000"}}, // both up
		{`{"cpu":{"quota":30000,"burst":10000}}`, map[string]string{"cpu.max": "30000 100000", "cpu.max.burst": "10000"}}, // both down
		{`{"cpu":{"shares":1024}}`, map[string]string{"cpu.weight": "100"}},
		{`{"memory":{"limit":83886080}}`, map[string]string{"memory.max": "83886080", "memory.swap.max": "16777216"}}, // 96 MiB of both
		{`{"memory":{"swap":134217728}}`, map[string]string{"memory.swap.max": "50331648"}},
		{`{"memory":{"limit":134217728,"swap":-1}}`, map[string]string{"memory.max": "134217728", "memory.swap.max": "max"}},
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
