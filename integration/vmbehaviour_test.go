// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// metrics are the task's figures.
func (t *task) metrics() *stats.Metrics {
	t.h.Helper()
	metric, err := t.Metrics(t.h.ctx)
	t.h.must(err)
	data, err := typeurl.UnmarshalAny(metric.Data)
	t.h.must(err)
	m, ok := data.(*stats.Metrics)
	if !ok {
		t.h.Fatalf("%T", data)
	}
	return m
}

// diskDir is a directory of the test's own on the machine's disk.
func (h *harness) diskDir() (dir string, device uint64) {
	h.Helper()
	dir, err := os.MkdirTemp("/root", "mini-test-")
	h.must(err)
	h.Cleanup(func() { h.must(os.RemoveAll(dir)) })
	var st unix.Stat_t
	h.must(unix.Stat(dir, &st))
	return dir, st.Dev
}

func TestVMMemoryLimit(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory"))
	each(t, func(t *testing.T, h *harness) {
		c := h.start(oci.WithMemoryLimit(32<<20), sh("echo ready; read x; tail -c 100m /dev/zero"))
		c.expect("ready")
		more := int64(64 << 20)
		h.must(c.Update(h.ctx, client.WithResources(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &more}})))
		c.holds("after update", fmt.Sprintf("memory.max %d", more))
		c.types("\n")
		if code := c.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		c.delete()
	})
}

// TestVMPidsLimit: runc's own threads count, hence no smaller limit.
func TestVMPidsLimit(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("pids"))
	each(t, func(t *testing.T, h *harness) {
		out, errs, code := h.run(resources(`{"pids":{"limit":30}}`),
			sh("for i in $(seq 60); do sleep 100 & echo forked; done"))
		if n := strings.Count(out, "forked"); n < 20 || n > 29 || !strings.Contains(errs, "can't fork") || code == 0 {
			t.Errorf("%d forks, stderr %q, exit code %d", n, errs, code)
		}
	})
}

func TestVMCPUQuota(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("cpu"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		c := h.start(resources(`{"cpu":{"quota":10000,"period":100000}}`), sh("echo ready; while :; do :; done"))
		c.expect("ready")
		before, begin := c.metrics().CPU, time.Now()
		time.Sleep(3 * time.Second)
		after := c.metrics().CPU
		share := float64(after.UsageUsec-before.UsageUsec) / float64(time.Since(begin).Microseconds())
		if share > 0.2 {
			t.Errorf("a tenth of a CPU is allowed, %.2f was used", share)
		}
		if after.NrThrottled <= before.NrThrottled || after.ThrottledUsec <= before.ThrottledUsec || after.NrPeriods <= before.NrPeriods {
			t.Errorf("not throttled: %v, then %v", before, after)
		}
		c.kill()
	})
}

func TestVMCpuset(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("cpuset"))
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("nproc; grep Cpus_allowed_list /proc/self/status", resources(`{"cpu":{"cpus":"1"}}`))
		h.equal("with CPU 1 alone", out, "1\nCpus_allowed_list:\t1")
	})
}

// TestVMThrottledWrites: bytes written back for the container are charged to it.
func TestVMThrottledWrites(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("io", "memory"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		dir, device := h.diskDir()
		major, minor := unix.Major(device), unix.Minor(device)
		c := h.start(bind(dir, "/data", "rw"), sh("read x; dd if=/dev/zero of=/data/x bs=64k count=48 conv=fsync; echo done"),
			resources(fmt.Sprintf(`{"blockIO":{"throttleWriteBpsDevice":[{"major":%d,"minor":%d,"rate":1048576}],"throttleReadIOPSDevice":[{"major":%[1]d,"minor":%d,"rate":1000}]}}`, major, minor)))
		c.holds("throttled", fmt.Sprintf("io.max %d:%d rbps=max wbps=1048576 riops=1000 wiops=max", major, minor))
		begin := time.Now()
		c.types("\n")
		c.expect("done")
		if took := time.Since(begin); took < 2*time.Second {
			t.Errorf("3 MiB at 1 MiB/s took %v: %s", took, c.errs)
		}
		c.wait()
		c.delete()
	})
}

func TestVMHugePages(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("hugetlb"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		const pages = "/proc/sys/vm/nr_hugepages"
		before, err := os.ReadFile(pages)
		h.must(err)
		h.must(os.WriteFile(pages, []byte("8"), 0))
		h.Cleanup(func() { h.must(os.WriteFile(pages, before, 0)) })
		c := h.start(resources(`{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`),
			mount("hugetlbfs", "hugetlbfs", "/huge", "pagesize=2M"),
			sh("fallocate -l 4194304 /huge/a && echo two; fallocate -l 2097152 /huge/b || echo refused; read x"))
		c.expect("two\nrefused")
		c.holds("limit", "hugetlb.2MB.max 4194304, hugetlb.2MB.current 4194304")
		c.kill()
	})
}

// TestVMAffinityFollowsTheCpuset: a process that was confined by its cpuset, and by
// nothing else, has the CPUs that the cpuset gets later.
func TestVMAffinityFollowsTheCpuset(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("cpuset"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		c := h.start(sh("sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status; read x; sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status; echo done"), resources(`{"cpu":{"cpus":"1"}}`))
		c.expect("1\n")
		h.must(c.Update(h.ctx, client.WithResources(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0-1"}})))
		c.types("\n")
		c.expect("done")
		h.equal("CPUs", c.out.String(), "1\n0-1\ndone\n")
		c.wait()
		c.delete()
	})
}

// TestVMLessMemoryThanIsUsed: an update may take away what the container has; then
// it is killed. What it has is in a file in memory, since a shell takes half a minute
// to fill a variable there.
func TestVMLessMemoryThanIsUsed(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		c := h.start(resources(`{"memory":{"limit":134217728}}`), sh("head -c 40m /dev/zero >/dev/shm/x; echo ready; read y"))
		c.expect("ready")
		h.must(c.update(`{"memory":{"limit":16777216}}`))
		if code := c.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		c.delete()
	})
}
