// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

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
