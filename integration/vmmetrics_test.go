// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/cgroups/v3/cgroup2/stats"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/containerd-mini/mini/integration/testenv"
)

// fields has every field of a message that is set, by its path, those of messages
// in it as well.
func fields(m proto.Message) map[string]string {
	all := map[string]string{}
	var walk func(path string, m protoreflect.Message)
	one := func(path string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
		if f.Message() != nil {
			all[path] = "there"
			walk(path, v.Message())
			return
		}
		all[path] = v.String()
	}
	walk = func(path string, m protoreflect.Message) {
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			at := strings.TrimPrefix(path+"."+string(f.Name()), ".")
			if !f.IsList() {
				one(at, f, v)
				return true
			}
			for i := range v.List().Len() {
				one(fmt.Sprintf("%s[%d]", at, i), f, v.List().Get(i))
			}
			return true
		})
	}
	walk("", m.ProtoReflect())
	return all
}

// TestVMMetricsAsRunc: of the same cgroup, which is frozen, mini's metrics are what
// runc's shim would tell, with the library that it does it with. What differs is
// that pages which came back are counted on kernels that count them in two parts
// (5.9), where the library looks for the sum.
func TestVMMetricsAsRunc(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu", "pids", "io", "hugetlb", "rdma"))
	miniOnly(t, func(t *testing.T, h *harness) {
		dir, _ := h.diskDir()
		c := h.start(bind(dir, "/data", "rw"), resources(`{"memory":{"limit":67108864,"swap":100663296},"cpu":{"quota":20000,"period":100000,"burst":10000},"pids":{"limit":42},"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`),
			sh("dd if=/dev/zero of=/data/x bs=64k count=32 conv=fsync; i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done; echo ready; read x"))
		c.expect("ready")
		h.must(c.Pause(h.ctx))
		runcs, err := cgroup2.Load(h.cgroupOf(c.Pid()))
		h.must(err)
		h.eventually(func() error { // the kernel adds up what the CPUs have counted now and then
			stat, err := runcs.Stat()
			h.must(err)
			mine := c.metrics()
			for _, m := range []*stats.Metrics{mine, stat} { // the library has them as the directory has
				slices.SortFunc(m.Hugetlb, func(a, b *stats.HugeTlbStat) int { return strings.Compare(a.Pagesize, b.Pagesize) })
			}
			got, want := fields(mine), fields(stat)
			if n := len(want); n < 50 {
				t.Fatalf("only %d fields: %v", n, want)
			}
			var differ []string
			for _, name := range union(got, want) {
				if got[name] != want[name] && !strings.HasPrefix(name, "memory.workingset_") && !strings.Contains(name, ".avg") {
					differ = append(differ, fmt.Sprintf("%s is %q, want %q", name, got[name], want[name]))
				}
			}
			if differ == nil {
				return nil
			}
			return fmt.Errorf("%s", strings.Join(differ, "\n"))
		})
		h.must(c.Resume(h.ctx))
		c.kill()
	})
}

// union is the keys of both in order.
func union(a, b map[string]string) []string {
	var keys []string
	for _, m := range []map[string]string{a, b} {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
