// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestVMAloneCpusetOfAnOfflineCPU: a container starts where its cpuset has a CPU that is
// off, alone or beside another, below cgroups without a cpuset of their own; it gets
// the CPU when that is on.
func TestVMAloneCpusetOfAnOfflineCPU(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("cpuset"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		const file = "/sys/devices/system/cpu/cpu1/online"
		turn := func(on string) { h.must(os.WriteFile(file, []byte(on), 0)) }
		turn("0")
		h.Cleanup(func() { turn("1") })
		var all []*task
		for i, cpus := range []string{"0-1", "1"} {
			c := h.start(oci.WithCgroup("/bed/offline/below/c"+strconv.Itoa(i)), resources(`{"cpu":{"cpus":"`+cpus+`"}}`), sh("nproc; read x; nproc; echo done"))
			c.expect("1\n")
			c.holds("off", "cpuset.cpus "+cpus+", cpuset.cpus.effective 0, ../cpuset.cpus , ../../cpuset.cpus ")
			all = append(all, c)
		}
		turn("1")
		for i, want := range []string{"0-1", "1"} {
			h.eventually(func() error { // a worker of the kernel's tells the cpusets
				if all[i].file("cpuset.cpus.effective") == want {
					return nil
				}
				time.Sleep(10 * time.Millisecond)
				return os.ErrDeadlineExceeded
			})
			all[i].types("\n")
			all[i].expect("done")
			h.equal("CPUs, off and on", all[i].out.String(), []string{"1\n2\ndone\n", "1\n1\ndone\n"}[i])
			all[i].wait()
			all[i].delete()
		}
		if !h.mini() { // leaves what it made above
			h.must(os.Remove("/sys/fs/cgroup/bed/offline/below"))
			h.must(os.Remove("/sys/fs/cgroup/bed/offline"))
		}
	})
}
