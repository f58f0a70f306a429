// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// cgroupNamespaces are a container's cgroup namespace: its own, or the host's, as a
// privileged pod has it.
var cgroupNamespaces = map[string]oci.SpecOpts{
	"own":  namespace(specs.CgroupNamespace, ""),
	"host": hostNamespace(specs.CgroupNamespace),
}

// cgroupMount is that of a container's own cgroup at the usual place.
var cgroupMount = mount("cgroup", "cgroup", "/sys/fs/cgroup", "ro", "nosuid", "noexec", "nodev")

// TestExecSeesItsContainersCgroup: what reads limits looks for them in /proc/self/cgroup
// below /sys/fs/cgroup, and finds the container's.
func TestExecSeesItsContainersCgroup(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever(), cgroupNamespaces["own"], cgroupMount)
		c.expect("ready")
		const look = "grep ^0:: /proc/$p/cgroup; grep ' - cgroup2 ' /proc/$p/mountinfo | cut -d' ' -f4,5; " +
			"ls /sys/fs/cgroup | grep -v cgroup"
		h.equal("an exec's cgroup", c.says("p=self; "+look), c.says("p=1; "+look))
		e := c.exec(sh("sleep 1000"))
		h.must(e.Start(h.ctx))
		h.equal("an exec's cgroup from outside", h.cgroupOf(e.Pid()), h.cgroupOf(c.Pid()))
		groups, err := filepath.Glob(filepath.Join("/sys/fs/cgroup*", h.cgroupOf(c.Pid()), "*/cgroup.procs"))
		h.must(err)
		if len(groups) > 0 {
			t.Errorf("cgroups in the container's: %v", groups)
		}
		h.must(e.Kill(h.ctx, syscall.SIGKILL))
		e.wait()
		c.kill()
	})
}

// TestKillAfterInitLeft: init has left its container's cgroup. Whoever kills the
// container kills init; what else has left dies with its pid namespace.
func TestKillAfterInitLeft(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		beside := testenv.Cgroup(t)
		script := "echo 0 >/beside/cgroup.procs; sleep 7654322 & echo left; exec sleep 7654322"
		for name, end := range map[string]func(*task){
			"kill all": func(c *task) {
				h.must(c.Kill(h.ctx, syscall.SIGKILL, client.WithKillAll))
				c.wait()
				c.delete()
			},
			"delete": func(c *task) {
				_, err := c.Delete(h.ctx, client.WithProcessKill)
				h.must(err)
			},
		} {
			c := h.start(sh(script), bind(beside, "/beside", "rw"), cgroupNamespaces["host"])
			c.expect("left")
			end(c)
			if n := running(t, "sleep 7654322"); n > 0 {
				t.Errorf("%s: %d processes run", name, n)
			}
		}
		c := h.start(sh("trap 'exit 5' USR1; echo 0 >/beside/cgroup.procs; echo left; while :; do sleep 0.05; done"),
			bind(beside, "/beside", "rw"), cgroupNamespaces["host"])
		c.expect("left")
		if !h.mini() { // runc signals nobody
			h.must(c.Kill(h.ctx, syscall.SIGKILL))
		} else {
			h.must(c.Kill(h.ctx, syscall.SIGUSR1, client.WithKillAll))
			if code := c.wait(); code != 5 {
				t.Errorf("exit code %d, want 5", code)
			}
		}
		c.wait()
		c.delete()
	})
}

// TestKillAfterAnExecLeft: without a pid namespace of the container's nothing but the shim
// ends an exec that has left the cgroup; init's exit does not wait for it for good.
func TestKillAfterAnExecLeft(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		beside := testenv.Cgroup(t)
		c := h.start(forever(), hostNamespace(specs.PIDNamespace), bind(beside, "/beside", "rw"),
			cgroupNamespaces["host"])
		c.expect("ready")
		e := c.exec(sh("echo 0 >/beside/cgroup.procs; echo left; exec sleep 7654324"))
		h.must(e.Start(h.ctx))
		h.eventually(func() error {
			if e.out.String() != "left\n" {
				return fmt.Errorf("stdout %q, stderr %q", e.out, e.errs)
			}
			return nil
		})
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		if code := e.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		c.wait()
		_, err := e.Delete(h.ctx)
		h.must(err)
		c.delete()
	})
}

// TestShimIsKilledAfterInitLeft: nor does the death of the shim save it.
func TestShimIsKilledAfterInitLeft(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		beside := testenv.Cgroup(t)
		c := h.start(sh("echo 0 >/beside/cgroup.procs; sleep 7654323 & echo left; exec sleep 7654323"),
			bind(beside, "/beside", "rw"), cgroupNamespaces["host"])
		c.expect("left")
		h.must(syscall.Kill(c.shim(), syscall.SIGKILL))
		h.eventually(func() error {
			if n := running(t, "sleep 7654323"); n > 0 {
				return fmt.Errorf("%d processes run", n)
			}
			return nil
		})
		_, err := c.Delete(h.ctx)
		if err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	})
}

// TestExecAfterInitLeft: init has left its cgroup and removed it, as buildkitd in a
// privileged pod does. An exec goes to where init is.
func TestExecAfterInitLeft(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		beside := testenv.Cgroup(t)
		c := h.start(sh("echo 0 >/beside/cgroup.procs; echo left; exec sleep 1000"),
			bind(beside, "/beside", "rw"), cgroupNamespaces["host"])
		group := h.cgroupOf(c.Pid())
		c.expect("left")
		h.must(os.Remove(filepath.Join(filepath.Dir(beside), group)))
		out, errs, code := c.execs(sh("diff /proc/1/cgroup /proc/self/cgroup"))
		if code != 0 {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
		}
		if err := c.Pause(h.ctx); err == nil || errdefs.IsNotFound(err) {
			t.Errorf("pause: %v", err)
		}
		h.equal("status", string(c.status()), string(client.Running))
		e := c.exec(sh("sleep 1000 & echo in; wait"))
		h.must(e.Start(h.ctx))
		h.must(e.Kill(h.ctx, syscall.SIGKILL))
		if code := e.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		c.wait()
		c.delete()
	})
}

// goProcsEnv makes the tests' program print what the Go runtime takes for the number of
// CPUs, and end.
const goProcsEnv = "MINI_TEST_GO_PROCS"

func printGoProcs() {
	fmt.Println(runtime.GOMAXPROCS(0))
	os.Exit(0)
}

// TestVMExecLimits: Java, Go and node take the container's limits in an exec, as each
// reads them. Java and node are tested where the machine has them (VM_PACKAGES).
func TestVMExecLimits(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu"))
	each(t, func(t *testing.T, h *harness) {
		program, err := os.Executable()
		h.must(err)
		c := h.start(forever(), cgroupNamespaces["own"], cgroupMount,
			resources(`{"memory":{"limit":419430400},"cpu":{"quota":200000,"period":100000}}`),
			bind(program, "/procs", "ro"), bind("/usr", "/usr", "ro", "rbind"), bind("/etc", "/etc", "ro", "rbind"),
			bind("/usr/lib", "/lib", "ro", "rbind"), bind("/usr/lib64", "/lib64", "ro", "rbind"))
		c.expect("ready")
		const read = "cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); cat memory.max cpu.max"
		h.equal("what is read", c.says(read), "419430400\n200000 100000")
		cpus := min(runtime.NumCPU(), 2)
		const java = "java -XshowSettings:system -version 2>&1 | grep -E 'Effective CPU|Memory Limit' | tr -s ' '"
		for _, p := range []struct{ program, script, want string }{
			{"go", goProcsEnv + "=1 /procs", fmt.Sprint(cpus)},
			{"java", java, fmt.Sprintf("Effective CPU Count: %d\n Memory Limit: 400.00M", cpus)},
			{"node", "node -p 'process.constrainedMemory()'", "419430400"},
		} {
			t.Run(p.program, func(t *testing.T) {
				if p.program != "go" {
					if _, err := exec.LookPath(p.program); err != nil {
						t.Skipf("this machine has no %s", p.program)
					}
				} else if runtime.NumCPU() < 3 {
					t.Skipf("go has two CPUs at least, this machine %d", runtime.NumCPU())
				}
				got := c.says(p.script)
				if p.program == "node" && got == "undefined" { // as Debian 12's, with any runtime
					t.Skip("this node does not read cgroup v2")
				}
				h.equal(p.program, got, p.want)
			})
		}
		c.kill()
	})
}
