// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// ownCgroups gives the container a cgroup namespace and a writable mount of it.
func ownCgroups() oci.SpecOpts {
	return oci.Compose(namespace(specs.CgroupNamespace, ""), mount("cgroup", "cgroup", "/sys/fs/cgroup", "rw", "nosuid", "noexec", "nodev"))
}

// TestVMNestedCgroups: a container that manages cgroups of its own, as systemd in
// one does, is measured, paused, entered, killed and removed as any other.
func TestVMNestedCgroups(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "pids"))
	each(t, func(t *testing.T, h *harness) {
		c := h.start(ownCgroups(), resources(`{"memory":{"limit":67108864}}`), sh(`
			cd /sys/fs/cgroup && mkdir init app app/below &&
			echo 1 >init/cgroup.procs && echo +memory +pids >cgroup.subtree_control && echo +pids >app/cgroup.subtree_control &&
			echo 33554432 >app/memory.max &&
			(sh -c 'echo 0 >/sys/fs/cgroup/app/below/cgroup.procs; echo nested; exec sleep 1000' &) && exec sleep 1000`))
		c.expect("nested")
		if n := c.metrics().Pids.GetCurrent(); n != 2 {
			t.Errorf("%d processes counted, want 2", n)
		}
		out, errs, code := c.execs(oci.WithProcessArgs("cat", "/sys/fs/cgroup/app/below/pids.current", "/sys/fs/cgroup/app/memory.max"))
		if out != "1\n33554432\n" || code != 0 {
			t.Errorf("exec: stdout %q, stderr %q, exit code %d", out, errs, code)
		}
		h.must(c.Pause(h.ctx))
		h.equal("state", string(c.status()), string(client.Paused))
		h.must(c.Resume(h.ctx))
		c.kill()
	})
}

// TestVMDelegation: the container's user owns the cgroup that it may write to.
// runc does so with systemd alone.
func TestVMDelegation(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory"))
	miniOnly(t, func(t *testing.T, h *harness) {
		const script = "cd /sys/fs/cgroup; stat -c %u . cgroup.procs cgroup.subtree_control memory.max; mkdir x && echo 0 >x/cgroup.procs && cat /proc/self/cgroup"
		user := process(func(p *specs.Process) { p.User = specs.User{UID: 1000, GID: 1000} })
		h.equal("user 1000", h.prints(script, ownCgroups(), user), "1000\n1000\n1000\n0\n0::/x")
		h.equal("root", h.prints(script, ownCgroups()), "0\n0\n0\n0\n0::/x")
		h.equal("root of a user namespace", h.prints(script, ownCgroups(), userNamespace(100000)), "0\n0\n0\n65534\n0::/x")
		out := h.prints("stat -c %u /sys/fs/cgroup/cgroup.procs", user, namespace(specs.CgroupNamespace, ""),
			mount("cgroup", "cgroup", "/sys/fs/cgroup", "ro"))
		h.equal("of a read-only mount", out, "0")
	})
}

// limitsOf are the files of a cgroup that hold settings, by name.
func limitsOf(h *harness, group string) map[string]string {
	h.Helper()
	files, err := filepath.Glob("/sys/fs/cgroup" + group + "/*.*")
	h.must(err)
	all := map[string]string{}
	for _, f := range files {
		info, err := os.Stat(f)
		h.must(err)
		name := filepath.Base(f)
		if info.IsDir() || info.Mode()&0o222 == 0 || info.Mode()&0o444 == 0 || slices.Contains([]string{
			"cgroup.procs", "cgroup.threads", // processes
			"cpu.pressure", "io.pressure", "memory.pressure", "irq.pressure", "memory.peak", "memory.swap.peak", // figures
		}, name) {
			continue
		}
		data, err := os.ReadFile(f)
		h.must(err)
		all[name] = strings.TrimSpace(string(data))
	}
	return all
}

// weighs gives the machine's disk the scheduler that knows weights.
func (h *harness) weighs() {
	h.Helper()
	const file = "/sys/block/vda/queue/scheduler"
	h.must(exec.Command("modprobe", "bfq").Run())
	before, err := os.ReadFile(file)
	h.must(err)
	h.must(os.WriteFile(file, []byte("bfq"), 0))
	_, rest, _ := strings.Cut(string(before), "[")
	was, _, _ := strings.Cut(rest, "]")
	h.Cleanup(func() { h.must(os.WriteFile(file, []byte(was), 0)) })
}

// TestVMSameFilesAsRunc: the same resources give the same settings, which are
// those that were asked for, given as "file value, file value".
func TestVMSameFilesAsRunc(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu", "cpuset", "pids", "io", "hugetlb"))
	if len(runtimes()) < 2 {
		t.Skip("compares two runtimes")
	}
	var h [2]*harness
	for i, runtime := range []string{mini, runc} {
		h[i] = newHarness(t, runtime, daemon)
	}
	_, device := h[0].diskDir()
	h[0].weighs()
	disk := fmt.Sprintf(`"major":%d,"minor":%d`, unix.Major(device), unix.Minor(device))
	for _, c := range []struct{ res, files string }{
		{`{}`, "memory.max max, cpu.max max 100000, cpu.weight 100, pids.max max"},
		{
			`{"memory":{"limit":67108864,"reservation":33554432,"swap":100663296},"cpu":{"shares":512,"quota":50000,"period":200000,"burst":20000,"cpus":"1","mems":"0"},"pids":{"limit":42}}`,
			"memory.max 67108864, memory.low 33554432, memory.swap.max 33554432, cpu.max 50000 200000, cpu.max.burst 20000, cpuset.cpus 1, cpuset.mems 0, cpu.weight 59, pids.max 42",
		},
		{
			`{"memory":{"limit":67108864,"swap":67108864},"cpu":{"shares":2,"period":50000},"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`,
			"memory.max 67108864, memory.swap.max 0, cpu.weight 1, cpu.max max 50000, hugetlb.2MB.max 4194304, hugetlb.2MB.rsvd.max 4194304",
		},
		{
			`{"memory":{"limit":67108864,"swap":-1},"cpu":{"shares":262144,"quota":-1},"pids":{"limit":-1},"blockIO":{"throttleReadBpsDevice":[{` + disk + `,"rate":1048576}],"throttleWriteIOPSDevice":[{` + disk + `,"rate":500}]}}`,
			fmt.Sprintf("memory.swap.max max, cpu.weight 10000, cpu.max max 100000, pids.max max, io.max %d:%d rbps=1048576 wbps=max riops=max wiops=500", unix.Major(device), unix.Minor(device)),
		},
		{`{"memory":{"limit":-1},"cpu":{"idle":1},"blockIO":{"weight":500}}`, "memory.max max, cpu.idle 1, io.bfq.weight default 500"},
		{
			`{"memory":{"limit":67108864},"unified":{"memory.high":"33554432","memory.max":"50331648","memory.oom.group":"1","pids.max":"77","cpu.weight":"42"}}`,
			"memory.max 50331648, memory.high 33554432, memory.oom.group 1, pids.max 77, cpu.weight 42",
		},
	} {
		var got [2]map[string]string
		for i, h := range h {
			task := h.start(resources(c.res), oci.WithProcessArgs("sleep", "1000"))
			task.holds(h.runtime+": "+c.res, c.files)
			got[i] = limitsOf(h, h.cgroupOf(task.Pid()))
			task.kill()
			h.renew()
		}
		names := slices.Sorted(maps.Keys(got[0]))
		if len(names) < 30 {
			t.Errorf("only %v", names)
		}
		for _, name := range names {
			if got[0][name] != got[1][name] {
				t.Errorf("%s: %s: mini %q, runc %q", c.res, name, got[0][name], got[1][name])
			}
		}
	}
}
