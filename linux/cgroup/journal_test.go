// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/integration/testenv/bpfprog"
)

func TestLineOfADevice(t *testing.T) {
	for _, c := range []struct{ file, text, line, want string }{
		{"io.max", "", "8:0 rbps=1\n", "8:0 rbps=max wbps=max riops=max wiops=max"},
		{
			"io.max",
			"8:16 rbps=2 wbps=max riops=max wiops=max\n8:0 rbps=1 wbps=3 riops=max wiops=4",
			"8:0 rbps=9",
			"8:0 rbps=1 wbps=3 riops=max wiops=4",
		},
		{"io.bfq.weight", "default 100\n8:0 300", "500", "default 100"},
		{"io.bfq.weight", "default 100\n8:0 300", "default 500", "default 100"},
		{"io.bfq.weight", "default 100\n8:0 300", "8:0 500", "8:0 300"},
		{"io.weight", "default 100", "8:0 500", "8:0 default"},
		{"rdma.max", "mlx5_0 hca_handle=2 hca_object=max", "mlx5_0 hca_object=7", "mlx5_0 hca_handle=2 hca_object=max"},
	} {
		if _, now := lineOf(c.text, c.line, unset[c.file]); !slices.Equal(now, []string{c.want}) {
			t.Errorf("%s: %q in %q: %q, want %q", c.file, c.line, c.text, now, c.want)
		}
	}
}

// TestUpdateThatFailsChangesNothing: what the failing update wrote before is taken
// back, as far as the machine has the controllers.
func TestUpdateThatFailsChangesNothing(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := g.Apply(&specs.Linux{Resources: resources(t, `{"unified":{"cgroup.max.depth":"5"}}`)}); err != nil {
		t.Fatal(err)
	}
	have, err := g.controllers()
	if err != nil {
		t.Fatal(err)
	}
	const wrong = `"unified":{"cgroup.max.depth":"7","cgroup.max.descendants":"many"}`
	for _, c := range []struct{ controller, first, then string }{
		{core, `{"unified":{"cgroup.max.depth":"9"}}`, `{` + wrong + `}`},
		{"hugetlb", `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`, `{"hugepageLimits":[{"pageSize":"2MB","limit":2097152}],` + wrong + `}`},
		{"pids", `{"pids":{"limit":42}}`, `{"pids":{"limit":-1},` + wrong + `}`},
		{"memory", `{"memory":{"limit":67108864,"swap":100663296}}`, `{"memory":{"limit":-1,"reservation":4096},` + wrong + `}`},
		{"cpu", `{"cpu":{"quota":50000,"burst":20000,"shares":512}}`, `{"cpu":{"quota":90000,"burst":80000,"period":200000,"shares":2048},` + wrong + `}`},
		{"cpu", `{"cpu":{"quota":90000,"burst":80000}}`, `{"cpu":{"quota":20000,"burst":10000,"idle":1},` + wrong + `}`},
		{"cpuset", `{"cpu":{"cpus":""}}`, `{"cpu":{"cpus":"0","mems":"0"},` + wrong + `}`},
	} {
		if c.controller != core && !have.has(c.controller) {
			continue
		}
		if err := g.Update(resources(t, c.first)); err != nil {
			t.Fatalf("%s: %v", c.first, err)
		}
		before := settingsOf(t, g)
		err := g.Update(resources(t, c.then))
		if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), `unified["cgroup.max.descendants"]`) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", c.then, err)
		}
		for name, now := range settingsOf(t, g) {
			if now != before[name] {
				t.Errorf("%s, then %s: %s was %q and is %q", c.first, c.then, name, before[name], now)
			}
		}
	}
}

// TestUpdateThatFailsAtTheFilter: neither the limits, which come first, nor the filter
// are other ones then.
func TestUpdateThatFailsAtTheFilter(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := g.Apply(&specs.Linux{Resources: resources(t, `{"unified":{"cgroup.max.depth":"5"}}`)}); err != nil {
		t.Fatal(err)
	}
	before, filters := settingsOf(t, g), attached(t, g)
	err := g.Update(resources(t, `{"unified":{"cgroup.max.depth":"7"},"devices":[{"allow":true,"access":"rwm"},{"allow":false,"access":"x"}]}`))
	if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "linux.resources.devices[1]") {
		t.Error(err)
	}
	if now := settingsOf(t, g); !maps.Equal(now, before) || len(filters) != 1 || !slices.Equal(attached(t, g), filters) {
		t.Errorf("%v, programs %v; before %v, %v", now, attached(t, g), before, filters)
	}
}

func attached(t *testing.T, g *Group) []uint32 {
	t.Helper()
	ids, err := bpfprog.Attached(g.Dir())
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestUpdateThatFailsBringsBackAPartition: of one that is invalid the kernel gives
// the reason as well.
func TestUpdateThatFailsBringsBackAPartition(t *testing.T) {
	h := needs(t, "cpuset", "cpu", "pids")
	g := limited(t, h, testBase(t, h)+"/c", `{"cpu":{"cpus":"0"},"pids":{"limit":7},"unified":{"cpuset.cpus.partition":"root"}}`)
	const file = "cpuset.cpus.partition"
	before, err := readFile(g.Dir(), file)
	if err != nil || !strings.HasPrefix(string(before), "root") {
		t.Fatalf("%q, %v", before, err)
	}
	err = g.Update(resources(t, `{"unified":{"cpu.pressure":"some 150000 1000000","`+file+`":"member","pids.max":"many"}}`))
	if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), `unified["pids.max"]`) || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
	if now, err := readFile(g.Dir(), file); string(now) != string(before) || err != nil {
		t.Errorf("%s was %q and is %q, %v", file, before, now, err)
	}
}

// TestUpdateThatFailsBringsBackACpuset: of a group with processes that had none of its
// own, which most kernels do not let it have again: then one with the same effect.
func TestUpdateThatFailsBringsBackACpuset(t *testing.T) {
	h := needs(t, "cpuset")
	g := limited(t, h, testBase(t, h)+"/c", `{"unified":{"cpuset.cpus":"\n"}}`)
	into(t, g.Dir(), "exec sleep 60")
	const file = "cpuset.cpus.effective"
	before, err := readFile(g.Dir(), file)
	if err != nil || strings.TrimSpace(string(before)) == "0" {
		t.Skipf("one CPU: %q, %v", before, err)
	}
	err = g.Update(resources(t, `{"cpu":{"cpus":"0","mems":"99"}}`))
	if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "cpu.mems") ||
		strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
	if now, err := readFile(g.Dir(), file); string(now) != string(before) || err != nil {
		t.Errorf("%s was %q and is %q, %v", file, before, now, err)
	}
}

// settingsOf reads those files of a group that resources change.
func settingsOf(t *testing.T, g *Group) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{
		"cgroup.max.depth", "cgroup.max.descendants",
		"cpu.idle", "cpu.max", "cpu.max.burst", "cpu.weight",
		"cpuset.cpus", "cpuset.mems",
		"hugetlb.2MB.max", "hugetlb.2MB.rsvd.max",
		"io.bfq.weight", "io.max", "io.weight",
		"memory.low", "memory.max", "memory.swap.max",
		"pids.max",
	} {
		if data, err := readFile(g.Dir(), name); err == nil {
			all[name] = string(data)
		}
	}
	if len(all) < 2 {
		t.Fatalf("only %v", all)
	}
	return all
}

// A limit of memory and swap together is one of both: an update of one keeps the
// other.
func TestAskedMemory(t *testing.T) {
	var a asked
	for _, c := range []struct {
		given       string
		limit, swap int64 // what is compiled then
	}{
		{`{"memory":{"swap":5000}}`, 0, 5000}, // for want of a limit: refused by compile
		{`{"memory":{"limit":4096}}`, 4096, 0},
		{`{"memory":{"swap":8192}}`, 4096, 8192},
		{`{"memory":{"limit":6000}}`, 6000, 8192},
		{`{"cpu":{"shares":2}}`, 0, 0},
		{`{"memory":{"reservation":1}}`, 0, 0},
		{`{"memory":{"limit":7000,"swap":9000}}`, 7000, 9000},
		{`{"memory":{"swap":-1}}`, 0, -1},
		{`{"memory":{"limit":5000}}`, 5000, 0},
		{`{"memory":{"swap":9000}}`, 5000, 9000},
		{`{"memory":{"limit":-1}}`, -1, 0},
		{`{"memory":{"limit":5000}}`, 5000, 0},
	} {
		whole := a.complete(resources(t, c.given))
		var limit, swap int64
		if m := whole.Memory; m != nil {
			limit, swap = value(m.Limit), value(m.Swap)
		}
		if limit != c.limit || swap != c.swap {
			t.Errorf("%s: limit %d, swap %d; want %d, %d", c.given, limit, swap, c.limit, c.swap)
		}
		if _, err := compile(whole); err == nil {
			a.remember(whole.Memory)
		}
	}
}
