// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"maps"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestVMUpdateOfEachResource: of a running and of a paused container, one thing at
// a time; no other file of the cgroup changes.
func TestVMUpdateOfEachResource(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu", "cpuset", "pids", "io", "hugetlb"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		_, device := h.diskDir()
		h.weighs()
		disk := fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
		inSpec := fmt.Sprintf(`"major":%d,"minor":%d`, unix.Major(device), unix.Minor(device))
		type files map[string]string
		steps := []struct {
			res     string
			changes files
		}{
			{`{"pids":{"limit":99}}`, files{"pids.max": "99"}},
			{`{"memory":{"limit":83886080}}`, files{"memory.max": "83886080", "memory.swap.max": "16777216"}}, // 96 MiB of both
			{`{"memory":{"swap":134217728}}`, files{"memory.swap.max": "50331648"}},
			{`{"memory":{"reservation":8388608}}`, files{"memory.low": "8388608"}},
			{`{"memory":{"limit":-1}}`, files{"memory.max": "max", "memory.swap.max": "max"}},
			{`{"cpu":{"shares":1024}}`, files{"cpu.weight": "100"}},
			{`{"cpu":{"cpus":"1"}}`, files{"cpuset.cpus": "1", "cpuset.cpus.effective": "1"}},
			{`{"cpu":{"mems":"0"}}`, files{"cpuset.mems": "0"}},
			{`{"cpu":{"quota":70000}}`, files{"cpu.max": "70000 200000"}},
			{`{"cpu":{"period":100000}}`, files{"cpu.max": "70000 100000"}},
			{`{"cpu":{"burst":20000}}`, files{"cpu.max.burst": "20000"}},
			{`{"cpu":{"idle":1}}`, files{"cpu.idle": "1", "cpu.weight": h.idleWeight()}},
			{`{"cpu":{"idle":0}}`, files{"cpu.idle": "0", "cpu.weight": "100"}},
			{`{"blockIO":{"weight":200}}`, files{"io.bfq.weight": "default 200"}},
			{`{"blockIO":{"weightDevice":[{` + inSpec + `,"weight":300}]}}`, files{"io.bfq.weight": "default 200\n" + disk + " 300"}},
			{`{"blockIO":{"throttleReadBpsDevice":[{` + inSpec + `,"rate":1048576}]}}`, files{"io.max": disk + " rbps=1048576 wbps=max riops=max wiops=max"}},
			{`{"blockIO":{"throttleWriteIOPSDevice":[{` + inSpec + `,"rate":500}]}}`, files{"io.max": disk + " rbps=1048576 wbps=max riops=max wiops=500"}},
			{`{"unified":{"memory.high":"33554432","memory.oom.group":"1"}}`, files{"memory.high": "33554432", "memory.oom.group": "1"}},
			{`{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`, files{"hugetlb.2MB.max": "4194304", "hugetlb.2MB.rsvd.max": "4194304"}},
		}
		if !h.mini() { // runc forgets the period at each update without it, and passes over huge pages
			for i := range steps {
				if steps[i].res == `{"cpu":{"quota":70000}}` {
					steps[i].res = `{"cpu":{"quota":70000,"period":200000}}`
				}
			}
			steps = steps[:len(steps)-1]
		}
		for _, paused := range []bool{false, true} {
			c := h.start(resources(`{"memory":{"limit":67108864,"swap":100663296},"cpu":{"quota":50000,"period":200000,"shares":512,"cpus":"0-1"},"pids":{"limit":42}}`), oci.WithProcessArgs("sleep", "1000"))
			if paused {
				h.must(c.Pause(h.ctx))
			}
			group := h.cgroupOf(c.Pid())
			want := h.settingsOf(group)
			for _, step := range steps {
				what := fmt.Sprintf("paused %v: %s", paused, step.res)
				h.must(c.update(step.res))
				got := h.settingsOf(group)
				maps.DeleteFunc(got, func(name, _ string) bool { return name == "cpu.weight.nice" }) // follows cpu.weight
				delete(want, "cpu.weight.nice")
				for name, value := range step.changes {
					want[name] = modeOf(want[name]) + "\n" + sorted(value)
				}
				h.differ(what, got, want)
			}
			if paused {
				h.equal("state", string(c.status()), string(client.Paused))
				h.must(c.Resume(h.ctx))
			}
			c.kill()
			h.renew()
		}
	})
}

// modeOf is what settingsOf has of a file but for what it holds.
func modeOf(text string) string {
	var mode string
	fmt.Sscanf(text, "%s", &mode)
	return mode + " 0:0"
}
