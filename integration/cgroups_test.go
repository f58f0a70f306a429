// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/bed"
)

// cgroupOf is the cgroup of a process, as the bed sees it.
func (h *harness) cgroupOf(pid uint32) string {
	h.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	h.must(err)
	for line := range strings.Lines(string(data)) { // v1 hierarchies may be before it
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	h.Fatalf("no cgroup2 of %d in %s", pid, data)
	return ""
}

func TestCgroupPath(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for path, want := range map[string]string{
			"/bed/absolute": "/bed/absolute", "/bed/a/b/nested": "/bed/a/b/nested",
		} {
			c := h.start(oci.WithCgroup(path), forever())
			c.expect("ready")
			h.equal(path, h.cgroupOf(c.Pid()), want)
			p := c.exec(sh("read x"))
			h.must(p.Start(h.ctx))
			if got := h.cgroupOf(p.Pid()); !strings.HasPrefix(got, want) {
				t.Errorf("exec in %s, want it in %s", got, want)
			}
			c.kill()
			groups, err := bed.Cgroups()
			h.must(err)
			if slices.Contains(groups, want) {
				t.Errorf("%s is still there", want)
			}
			_ = os.Remove("/sys/fs/cgroup/bed/a/b") // runc leaves the parents
			_ = os.Remove("/sys/fs/cgroup/bed/a")
		}
	})
}

func TestRelativeCgroupPath(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(oci.WithCgroup("relative-path/below"), forever())
		c.expect("ready")
		if got := h.cgroupOf(c.Pid()); !strings.HasSuffix(got, "/relative-path/below") {
			t.Errorf("cgroup %s", got)
		}
		c.kill()
		groups, err := bed.Cgroups()
		h.must(err)
		for _, g := range slices.Backward(groups) {
			if strings.HasSuffix(g, "/relative-path") && !h.mini() {
				h.must(os.Remove(filepath.Join("/sys/fs/cgroup", g))) // as above
			}
		}
	})
}

// TestOnlyItsOwnProcessesInTheCgroup: nothing but the container's processes is
// ever in its cgroup.
func TestOnlyItsOwnProcessesInTheCgroup(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.create(oci.WithCgroup("/bed/own"), forever())
		for _, state := range []string{"created", "running"} {
			if state == "running" {
				h.must(c.Start(h.ctx))
				c.expect("ready")
			}
			pids, err := c.Pids(h.ctx)
			h.must(err)
			if state == "created" && (len(pids) != 1 || pids[0].Pid != c.Pid()) {
				t.Errorf("%s: pids %v, want %d", state, pids, c.Pid())
			}
		}
		c.kill()
	})
}

// TestDefaultsNeedNoController: values that are the kernel's own defaults are
// accepted where their controller is missing; ctr always sends one of them.
func TestDefaultsNeedNoController(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		shares, quota, unlimited := uint64(1024), int64(-1), int64(-1)
		out := h.prints("echo ran", spec(func(s *specs.Spec) {
			s.Linux.Resources.CPU = &specs.LinuxCPU{Shares: &shares, Quota: &quota}
			s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &unlimited}
			s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &unlimited}
		}))
		h.equal("stdout", out, "ran")
	})
}

// TestMissingControllerIsNamed: a limit that cannot be kept is refused, with
// the name of the field, and not ignored; at Create nothing is left of it, and at
// Update the container runs on.
func TestMissingControllerIsNamed(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		running := h.start(forever())
		running.expect("ready")
		for _, c := range []struct{ controller, field, res string }{
			{"memory", "memory.limit", `{"memory":{"limit":67108864}}`},
			{"memory", "memory.swap", `{"memory":{"limit":-1,"swap":67108864}}`},
			{"memory", "memory.reservation", `{"memory":{"reservation":67108864}}`},
			{"cpu", "cpu.shares", `{"cpu":{"shares":512}}`},
			{"cpu", "cpu.quota", `{"cpu":{"quota":50000,"period":100000}}`},
			{"cpu", "cpu.period", `{"cpu":{"period":50000}}`},
			{"cpu", "cpu.burst", `{"cpu":{"burst":1000}}`},
			{"cpu", "cpu.idle", `{"cpu":{"idle":1}}`},
			{"cpuset", "cpu.cpus", `{"cpu":{"cpus":"0"}}`},
			{"cpuset", "cpu.mems", `{"cpu":{"mems":"0"}}`},
			{"pids", "pids.limit", `{"pids":{"limit":64}}`},
			{"io", "blockIO.weight", `{"blockIO":{"weight":500}}`},
			{"io", "blockIO.throttleReadBpsDevice[0]", `{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}]}}`},
			{"hugetlb", "hugepageLimits[0]", `{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}`},
			{"rdma", `rdma["mlx5_0"]`, `{"rdma":{"mlx5_0":{"hcaHandles":1}}}`},
			{"misc", `unified["misc.max"]`, `{"unified":{"misc.max":"sev 1"}}`},
			{"", "cpu.realtimeRuntime", `{"cpu":{"realtimeRuntime":1000}}`},
			{"", "memory.kernel", `{"memory":{"kernel":67108864}}`},
			{"", "memory.swappiness", `{"memory":{"swappiness":10}}`},
			{"", "memory.disableOOMKiller", `{"memory":{"disableOOMKiller":true}}`},
			{"", "blockIO.leafWeight", `{"blockIO":{"leafWeight":10}}`},
			{"", "network.classID", `{"network":{"classID":1}}`},
			{"", "network.priorities", `{"network":{"priorities":[{"name":"eth0","priority":1}]}}`},
		} {
			if c.controller != "" && controller(c.controller) {
				continue
			}
			_, created := h.container(sh("echo"), resources(c.res)).NewTask(h.ctx, cio.NullIO)
			for when, err := range map[string]error{"create": created, "update": running.update(c.res)} {
				if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "linux.resources."+c.field+":") {
					t.Errorf("%s with %s: %v; want an error that names %s", when, c.res, err, c.field)
				}
			}
		}
		h.equal("status", string(running.status()), string(client.Running))
		running.kill()
	})
}

// TestUpdateNeedsTheController: a limit that cannot be kept is refused, and
// the container is as it was; an update of nothing is fine.
func TestUpdateNeedsTheController(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		limit, shares := int64(64<<20), uint64(1024)
		h.must(c.Update(h.ctx, client.WithResources(&specs.LinuxResources{})))
		h.must(c.Update(h.ctx, client.WithResources(&specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}})))
		err := c.Update(h.ctx, client.WithResources(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}))
		if controller("memory") {
			h.must(err)
		} else if err == nil || !strings.Contains(err.Error(), "memory.limit") {
			t.Errorf("%v; want an error that names memory.limit", err)
		}
		h.equal("status", string(c.status()), string(client.Running))
		c.kill()
	})
}

// TestUpdateOfDevices: of a running and of a paused container. runc passes over
// device rules in an update.
func TestUpdateOfDevices(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		c := h.start(oci.WithAddedCapabilities([]string{"CAP_SYSLOG"}), sh("mknod /kmsg c 1 11; echo ready; while read x; do if (: </kmsg) 2>/dev/null; then echo $x opened; else echo $x denied; fi; done"))
		c.expect("ready")
		const rule = `{"devices":[{"allow":%s,"type":"c","major":1,"minor":11,"access":"r"}]}`
		for i, allow := range []string{"false", "true", "false"} {
			word := map[string]string{"false": "denied", "true": "opened"}[allow]
			h.must(c.update(fmt.Sprintf(rule, allow)))
			c.types(fmt.Sprintf("running-%d\n", i))
			c.expect(fmt.Sprintf("running-%d %s", i, word))
			h.must(c.Pause(h.ctx))
			h.must(c.update(`{"devices":[]}`)) // nothing, which changes nothing
			h.must(c.Resume(h.ctx))
			c.types(fmt.Sprintf("same-%d\n", i))
			c.expect(fmt.Sprintf("same-%d %s", i, word))
			h.must(c.Pause(h.ctx))
			h.must(c.update(fmt.Sprintf(rule, "true")))
			h.must(c.Resume(h.ctx))
			c.types(fmt.Sprintf("paused-%d\n", i))
			c.expect(fmt.Sprintf("paused-%d opened", i))
		}
		c.kill()
	})
}

// TestUnifiedIsForLimits: a file that acts on processes is refused, in a spec and in
// an update. With runc a process of the host comes into the container, whose delete
// fails then, and a create does not end.
func TestUnifiedIsForLimits(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		bystander := exec.Command("sleep", "1000")
		h.must(bystander.Start())
		t.Cleanup(func() {
			if err := bystander.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := bystander.Wait(); err == nil {
				t.Error("it ended by itself")
			}
		})
		home := h.cgroupOf(uint32(bystander.Process.Pid))
		c := h.start(forever())
		c.expect("ready")
		for file, value := range map[string]string{
			"cgroup.procs": strconv.Itoa(bystander.Process.Pid), "cgroup.threads": "0", "cgroup.kill": "1", "cgroup.freeze": "1", "cgroup.type": "threaded",
		} {
			res := fmt.Sprintf(`{"unified":{%q:%q}}`, file, value)
			_, err := h.container(resources(res), sh("echo")).NewTask(h.ctx, cio.NullIO)
			for _, err := range []error{err, c.update(res)} {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), fmt.Sprintf("linux.resources.unified[%q]", file)) {
					t.Errorf("%s: %v, want invalid argument", res, err)
				}
			}
		}
		c.kill()
		h.equal("the bystander's cgroup", h.cgroupOf(uint32(bystander.Process.Pid)), home)
	})
}

func TestMetrics(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready; read x"))
		c.expect("ready")
		m := c.metrics()
		if m.CPU == nil || m.CPU.UsageUsec == 0 {
			t.Errorf("no CPU time in %v", m)
		}
		if controller("memory") && (m.Memory == nil || m.Memory.Usage == 0) {
			t.Errorf("no memory in %v", m)
		}
		c.kill()
	})
}

// TestOccupiedCgroup: a container does not join a cgroup that has processes.
func TestOccupiedCgroup(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		first := h.start(oci.WithCgroup("/bed/shared"), forever())
		first.expect("ready")
		_, err := h.container(oci.WithCgroup("/bed/shared"), sh("echo")).NewTask(h.ctx, cio.NullIO)
		if err == nil {
			t.Error("a second container in the same cgroup")
		}
		h.equal("the first", string(first.status()), string(client.Running))
		first.kill()
	})
}

func TestBadCgroupPath(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		for _, path := range []string{"/bed/../../up", "../up"} {
			_, err := h.container(oci.WithCgroup(path), sh("echo")).NewTask(h.ctx, cio.NullIO)
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s: %v, want invalid argument", path, err)
			}
		}
	})
}

// TestSystemdIsNotThere: the bed has none, and says so of either way to ask.
func TestSystemdIsNotThere(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		for path, options := range map[string]any{"system.slice:mini:x": nil, "": &runcoptions.Options{SystemdCgroup: true}} {
			h.options = options
			_, err := h.container(oci.WithCgroup(path), sh("echo")).NewTask(h.ctx, cio.NullIO)
			if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "linux.cgroupsPath") || !strings.Contains(err.Error(), "systemd is not the init") {
				t.Errorf("%q: %v, want not implemented", path, err)
			}
		}
		h.options = &runcoptions.Options{SystemdCgroup: true}
		_, err := h.container(oci.WithCgroup("/a/path"), sh("echo")).NewTask(h.ctx, cio.NullIO)
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("a path for systemd: %v, want invalid argument", err)
		}
	})
}

// TestCgroupNamespace: the container's own cgroup is the root of what it sees.
func TestCgroupNamespace(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("grep ^0:: /proc/self/cgroup; ls /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x 2>/dev/null || echo read only",
			namespace(specs.CgroupNamespace, ""),
			mount("cgroup", "cgroup", "/sys/fs/cgroup", "ro", "nosuid", "noexec", "nodev"))
		h.equal("stdout", out, "0::/\n/sys/fs/cgroup/cgroup.procs\nread only")
	})
}
