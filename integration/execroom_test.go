// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// The tests of this file are of an exec for which its container has one place left in
// pids.max, and so none for the exec's forerunner (linux/room.go). In a bed without the
// pids controller a fault has the forerunner find no place.

// TestVMExecOnePlace: an exec takes one place in its container.
func TestVMExecOnePlace(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("pids"))
	miniOnly(t, func(t *testing.T, h *harness) {
		const namesIt = "a limit of processes is reached: pids.max"
		for name, ns := range cgroupNamespaces {
			c := h.start(oci.WithPidsLimit(2), ns, sh("echo ready; read x"))
			c.expect("ready")
			for range 3 {
				e := c.exec(oci.WithProcessArgs("/bin/cat", "/proc/self/cgroup"))
				h.must(e.Start(h.ctx))
				if code := e.wait(); code != 0 {
					t.Errorf("%s cgroup namespace: exit code %d, %s", name, code, e.errs.String())
				}
				if name == "own" {
					h.equal("cgroup of the exec", strings.TrimSpace(e.out.String()), "0::/")
				}
				_, err := e.Delete(h.ctx)
				h.must(err)
			}
			e := c.exec(oci.WithProcessArgs("/bin/sleep", "1000"))
			h.must(e.Start(h.ctx))
			full := c.exec(oci.WithProcessArgs("/bin/true"))
			if err := full.Start(h.ctx); err == nil || !strings.Contains(err.Error(), namesIt) {
				t.Errorf("%s cgroup namespace, no place left: %v", name, err)
			}
			pids, err := os.ReadFile("/sys/fs/cgroup" + h.cgroupOf(c.Pid()) + "/pids.current")
			h.must(err)
			h.equal("processes", string(pids), "2\n")
			h.must(e.Kill(h.ctx, syscall.SIGKILL))
			e.wait()
			c.kill()
		}
	})
}

// withoutRoom is a shim whose execs' forerunners find no room.
func withoutRoom(t *testing.T, test func(t *testing.T, h *harness, faults string)) {
	miniAlone(t, func(t *testing.T, h *harness, faults string) {
		h.must(os.WriteFile(filepath.Join(faults, noRoom), nil, 0o600))
		test(t, h, faults)
	})
}

// TestExecWithoutRoom: such an exec is like all others: it is in its container's
// cgroup, has a mark, and its kill ends its whole tree.
func TestExecWithoutRoom(t *testing.T) {
	withoutRoom(t, func(t *testing.T, h *harness, _ string) {
		for name, opt := range map[string]oci.SpecOpts{
			"as it is":              oci.Compose(),
			"user namespace":        userNamespace(100000),
			"host cgroup namespace": cgroupNamespaces["host"],
			"host pid namespace":    hostNamespace(specs.PIDNamespace),
		} {
			c := h.start(forever(), cgroupNamespaces["own"], opt)
			c.expect("ready")
			e := c.exec(sh("cat /proc/self/cgroup; (setsid sleep 7654331 &); sleep 7654331"))
			h.must(e.Start(h.ctx))
			h.eventually(func() error {
				if n := running(t, "sleep 7654331"); n != 2 {
					return fmt.Errorf("%d processes of the exec", n)
				}
				return nil
			})
			if name == "host cgroup namespace" {
				h.equal(name+": the exec's parent cgroup", filepath.Dir(h.cgroupOf(e.Pid())), h.cgroupOf(c.Pid()))
			} else {
				h.equal(name+": the exec's cgroup", h.cgroupOf(e.Pid()), h.cgroupOf(c.Pid()))
				h.equal(name+": and as it sees it", h.unified(e.out.String()), "0::/")
			}
			h.must(e.Kill(h.ctx, syscall.SIGKILL))
			if code := e.wait(); code != 137 {
				t.Errorf("%s: exit code %d", name, code)
			}
			h.eventually(func() error {
				if n := running(t, "sleep 7654331"); n > 0 {
					return fmt.Errorf("%s: %d processes of the exec run on", name, n)
				}
				return nil
			})
			c.kill()
		}
	})
}

// unified is the line of cgroup2 in what a file /proc/PID/cgroup says.
func (h *harness) unified(text string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "0::") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// TestAttackOnExecWithoutRoom: until the exec is in the container's cgroup nobody can
// have it do anything. It is seen in the container, where it has nothing of the host.
func TestAttackOnExecWithoutRoom(t *testing.T) {
	withoutRoom(t, func(t *testing.T, h *harness, faults string) {
		s := h.spy()
		c := h.start(s.command("seize"))
		c.expect("ready")
		point := h.hold(faults, faultPoint{name: "room.cloned"})
		point.arm()
		h.Cleanup(point.release)
		e := c.exec(oci.WithProcessArgs("true"))
		done := e.begin(h.ctx)
		point.await(done)
		child := h.newborn(c)
		s.look(c, child, true)
		c.expect("not traced: operation not permitted")
		h.equal("a cgroup outside of the container", fmt.Sprint(h.cgroupOf(uint32(child)) == h.cgroupOf(c.Pid())), "false")
		h.must(syscall.Kill(child, syscall.SIGCONT)) // as anybody in the container can
		h.equal("state", h.status(child, "State")[0], "t")
		point.release()
		h.must(<-done)
		e.wait()
		c.kill()
		s.check("room", c.out.String())
	})
}

// newborn is the process that an exec's forerunner has cloned: in the container's pid
// namespace with the shim's program.
func (h *harness) newborn(c *task) (pid int) {
	h.Helper()
	h.eventually(func() error {
		all, err := bed.Processes()
		h.must(err)
		for _, p := range all {
			exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.Pid))
			ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", p.Pid))
			if p.Parent == c.shim() && strings.Contains(exe, "containerd-shim-mini") && ns == h.ns(int(c.Pid()), "pid") {
				pid = p.Pid
				return nil
			}
		}
		return fmt.Errorf("there is no such process")
	})
	return pid
}

// TestKilledExecWithoutRoom: an exec that is outside of its container's cgroup while
// the container is killed does not live on, even without a pid namespace that ends it.
func TestKilledExecWithoutRoom(t *testing.T) {
	withoutRoom(t, func(t *testing.T, h *harness, faults string) {
		group := oci.WithAnnotations(map[string]string{"io.kubernetes.cri.sandbox-id": h.newID()})
		anchor := h.start(group, forever()) // for the shim's life
		anchor.expect("ready")
		for _, point := range []string{"room.made", "room.cloned", "room.entered"} {
			for name, opt := range map[string]oci.SpecOpts{"own": oci.Compose(), "host": hostNamespace(specs.PIDNamespace)} {
				what := "container's kill at " + point + " in pid namespace " + name
				c := h.start(group, forever(), opt)
				c.expect("ready")
				h.must(os.WriteFile(filepath.Join(faults, noRoom), nil, 0o600))
				c.lives("at first") // which opens what all others share
				files := len(h.fds(c.shim()))
				hold := h.hold(faults, faultPoint{name: point})
				hold.arm()
				e := c.exec(sh("sleep 7654332"))
				done := e.begin(h.ctx)
				hold.await(done)
				h.must(c.Kill(h.ctx, syscall.SIGKILL, client.WithKillAll))
				hold.release()
				e.ended(what, done, anchor.shim(), files)
				if n := running(t, "sleep 7654332"); n > 0 {
					t.Errorf("%s: the exec runs", what)
				}
				h.quick(what+": Wait", func(context.Context) error { c.wait(); return nil })
				c.delete()
			}
		}
		anchor.kill()
	})
}

// TestPausedExecWithoutRoom: a container that is paused meanwhile has its exec stand
// still, as one that was born in it does.
func TestPausedExecWithoutRoom(t *testing.T) {
	withoutRoom(t, func(t *testing.T, h *harness, faults string) {
		c := h.start(forever())
		c.expect("ready")
		for _, point := range []string{"room.made", "room.cloned", "room.entered"} {
			hold := h.hold(faults, faultPoint{name: point})
			hold.arm()
			e := c.exec(sh("exit 3"))
			done := e.begin(h.ctx)
			hold.await(done)
			h.must(c.Pause(h.ctx))
			hold.release()
			select {
			case err := <-done:
				t.Errorf("%s: the exec has started in a paused container: %v", point, err)
			case <-time.After(300 * time.Millisecond):
			}
			h.must(c.Resume(h.ctx))
			h.must(<-done)
			if code := e.wait(); code != 3 {
				t.Errorf("%s: exit code %d", point, code)
			}
			_, err := e.Delete(h.ctx)
			h.must(err)
		}
		c.kill()
	})
}
