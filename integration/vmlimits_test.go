// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// Tests whose name begins with TestVM need what the virtual machine of
// `make test-vm` has, which runs them; elsewhere they skip where it is missing.
// integration/vm/README.md says how long they may take.

// resources are linux.resources of a spec, in JSON, over containerd's default ones.
func resources(text string) oci.SpecOpts {
	return spec(func(s *specs.Spec) {
		if err := json.Unmarshal([]byte(text), s.Linux.Resources); err != nil {
			panic(err)
		}
	})
}

// update updates the resources of a task, given in JSON.
func (t *task) update(text string) error {
	t.h.Helper()
	var res specs.LinuxResources
	t.h.must(json.Unmarshal([]byte(text), &res))
	return t.Update(t.h.ctx, client.WithResources(&res))
}

// file reads a file of the task's cgroup.
func (t *task) file(name string) string {
	t.h.Helper()
	data, err := os.ReadFile("/sys/fs/cgroup" + t.h.cgroupOf(t.Pid()) + "/" + name)
	t.h.must(err)
	return strings.TrimSpace(string(data))
}

// holds compares files of the task's cgroup, given as "name value, name value".
func (t *task) holds(when, files string) {
	t.h.Helper()
	for f := range strings.SplitSeq(files, ", ") {
		name, want, _ := strings.Cut(f, " ")
		if got := t.file(name); sorted(got) != sorted(want) {
			t.h.Errorf("%s: %s holds %q, want %q", when, name, got, want)
		}
	}
}

// TestVMUpdate: of a running and of a paused container, each time of one thing,
// which leaves the others as they are.
func TestVMUpdate(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu", "cpuset", "pids"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		c := h.start(resources(`{"memory":{"limit":67108864,"swap":100663296},"cpu":{"quota":50000,"period":200000,"shares":512,"cpus":"0-1"},"pids":{"limit":42}}`), forever())
		c.expect("ready")
		for _, paused := range []bool{false, true} {
			when := fmt.Sprintf("paused: %v", paused)
			if paused {
				h.must(c.Pause(h.ctx))
			}
			for _, step := range []struct{ res, files string }{
				{`{"pids":{"limit":99}}`, "pids.max 99, memory.max 67108864, cpu.max 50000 200000, cpu.weight 59"},
				{`{"memory":{"limit":134217728,"swap":167772160}}`, "memory.max 134217728, memory.swap.max 33554432, pids.max 99"},
				{`{"cpu":{"shares":1024}}`, "cpu.weight 100, cpu.max 50000 200000, cpuset.cpus 0-1"},
				{`{"cpu":{"cpus":"1"}}`, "cpuset.cpus 1, cpu.weight 100"},
				{`{"cpu":{"quota":70000,"period":100000}}`, "cpu.max 70000 100000, memory.max 134217728"},
				// and back
				{`{"pids":{"limit":42},"cpu":{"quota":50000,"period":200000,"shares":512,"cpus":"0-1"},"memory":{"limit":67108864,"swap":100663296}}`, "pids.max 42, cpu.max 50000 200000, cpu.weight 59, cpuset.cpus 0-1, memory.max 67108864"},
			} {
				if err := c.update(step.res); err != nil {
					t.Errorf("%s: %s: %v", when, step.res, err)
				}
				c.holds(when+": "+step.res, step.files)
			}
		}
		h.equal("state", string(c.status()), string(client.Paused))
		h.must(c.Resume(h.ctx))
		c.kill()
	})
}

// TestVMUpdateThatCannotBe: what the kernel refuses comes back as an error and
// the container runs on with what it had.
func TestVMUpdateThatCannotBe(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu"))
	miniOnly(t, func(t *testing.T, h *harness) {
		c := h.start(resources(`{"memory":{"limit":67108864},"cpu":{"quota":50000,"period":100000}}`), forever())
		c.expect("ready")
		if err := c.update(`{"cpu":{"quota":1}}`); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "linux.resources.cpu.quota") {
			t.Errorf("a quota below the kernel's least: %v", err)
		}
		if err := c.update(`{"memory":{"limit":1,"checkBeforeUpdate":true}}`); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("a limit below the use: %v", err)
		}
		c.holds("after refusals", "memory.max 67108864, cpu.max 50000 100000")
		h.equal("state", string(c.status()), string(client.Running))
		c.kill()
	})
}

// TestVMSmallest: a container starts with as little as crun lets one have.
func TestVMSmallest(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "pids"))
	miniOnly(t, func(t *testing.T, h *harness) {
		out, errs, code := h.run(resources(`{"memory":{"limit":524288}}`), oci.WithProcessArgs("echo", "ran"))
		if out != "ran\n" || code != 0 {
			t.Errorf("memory.max 512 KiB: stdout %q, stderr %q, exit code %d", out, errs, code)
		}
		for _, limit := range []string{"0", "1"} {
			out, errs, code = h.run(resources(`{"pids":{"limit":`+limit+`}}`), sh("read x </sys/fs/cgroup/pids.max; echo $x; (true); echo forked"),
				namespace(specs.CgroupNamespace, ""), mount("cgroup", "cgroup", "/sys/fs/cgroup", "ro"))
			if out != "1\n" || !strings.Contains(errs, "can't fork") || code == 0 {
				t.Errorf("pids limit %s: pids.max %q, stderr %q, exit code %d", limit, out, errs, code)
			}
		}
		c := h.start(resources(`{"pids":{"limit":1}}`), oci.WithProcessArgs("sleep", "1000"))
		e := c.exec(oci.WithProcessArgs("true"))
		if err := e.Start(h.ctx); err == nil || !strings.Contains(err.Error(), "resource temporarily unavailable") {
			t.Errorf("an exec where no process may be added: %v", err)
		}
		h.must(c.update(`{"pids":{"limit":2}}`))
		if _, errs, code := c.execs(oci.WithProcessArgs("true")); code != 0 {
			t.Errorf("an exec after the update: %s, exit code %d", errs, code)
		}
		c.kill()
	})
}
