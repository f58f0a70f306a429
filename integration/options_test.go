// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestNoPivotRoot: the root is changed without pivot_root, as on a ramfs.
func TestNoPivotRoot(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.options = &options.Options{NoPivotRoot: true}
		h.equal("stdout", h.prints("test -x /bin/busybox && echo root"), "root")
	})
}

// TestIoOwner: the pipes and fifos of the container belong to the ids.
func TestIoOwner(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.options = &options.Options{IoUid: 1000, IoGid: 1000}
		out, _, _ := h.run(oci.WithUser("1000:1000"), sh("stat -Lc %u:%g /proc/self/fd/2"))
		h.equal("stdout", out, "1000:1000\n")
	})
}

// shimCgroup makes /bed/shims the cgroup of h's shims, and returns its directory.
func (h *harness) shimCgroup() string {
	h.Helper()
	const dir = "/sys/fs/cgroup/bed/shims"
	h.must(os.MkdirAll(dir, 0o755))
	h.Cleanup(func() {
		h.eventually(func() error { return os.Remove(dir) })
	})
	h.options = &options.Options{ShimCgroup: "/bed/shims"}
	return dir
}

func TestShimCgroup(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.shimCgroup()
		c := h.start(forever())
		c.expect("ready")
		h.equal("cgroup of the shim", h.cgroupOf(uint32(c.shim())), "/bed/shims")
		if got := h.cgroupOf(c.Pid()); got == "/bed/shims" {
			t.Errorf("the container is in it too")
		}
		c.kill()
	})
}

// killedShimCgroup is shimCgroup, of a cgroup on which cgroup.kill was used before:
// what is cloned from there into another cgroup is killed at its birth by a kernel
// that counts those uses.
func (h *harness) killedShimCgroup() {
	h.Helper()
	h.must(os.WriteFile(h.shimCgroup()+"/cgroup.kill", []byte("1"), 0))
}

// TestKilledShimCgroup: a shim whose cgroup was killed once makes all kinds of
// processes, each in its place. (runc 1.5.2 makes no exec then: "error copying
// bootstrap data to pipe".)
func TestKilledShimCgroup(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		h.killedShimCgroup()
		c := h.start(forever())
		c.expect("ready")
		shim := c.shim()
		home := h.cgroupOf(c.Pid())
		if home == "/bed/shims" {
			t.Error("the container is where the shim is")
		}
		for range 2 {
			e := c.exec(sh("read x"))
			h.must(e.Start(h.ctx))
			if got := h.cgroupOf(e.Pid()); !strings.HasPrefix(got, home) {
				t.Errorf("the exec is in %s, the container in %s", got, home)
			}
			h.must(e.Kill(h.ctx, syscall.SIGKILL))
			if code := e.wait(); code != 137 {
				t.Errorf("exit code of the exec: %d", code)
			}
			_, err := e.Delete(h.ctx)
			h.must(err)
		}
		_, err := c.Metrics(h.ctx)
		h.must(err)
		h.must(c.Pause(h.ctx))
		h.must(c.Resume(h.ctx))
		if c.shim() != shim {
			t.Error("the shim is another one")
		}
		c.kill()
	})
}

// TestVMKilledShimCgroupAndPids: the limit of processes holds for an exec, whichever
// way it is born.
func TestVMKilledShimCgroupAndPids(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("pids"))
	miniOnly(t, func(t *testing.T, h *harness) {
		for _, killed := range []bool{false, true} {
			if killed {
				h.killedShimCgroup()
			}
			for _, full := range []bool{false, true} {
				limit := int64(2)
				if full {
					limit = 1
				}
				c := h.start(oci.WithPidsLimit(limit), sh("echo ready; read x"))
				c.expect("ready")
				e := c.exec(oci.WithProcessArgs("/bin/true"))
				err := e.Start(h.ctx)
				if full != (err != nil && strings.Contains(err.Error(), "resource temporarily unavailable")) || !full && err != nil {
					t.Errorf("cgroup of the shim killed %v, of the container full %v: %v", killed, full, err)
				}
				c.kill()
			}
		}
	})
}

// TestShimOOMScore: the shim is a little likelier to be killed than containerd.
func TestShimOOMScore(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		score := func(pid int) string {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
			h.must(err)
			return strings.TrimSpace(string(data))
		}
		h.equal("containerd", score(h.d.Pid()), "0")
		h.equal("shim", score(c.shim()), "1")
		h.equal("container, whose spec says nothing", score(int(c.Pid())), "1")
		c.kill()
	})
}

// TestShimSocket: only its owner can connect to a shim.
func TestShimSocket(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		dir, err := os.Stat(h.d.SocketDir())
		h.must(err)
		sockets, err := os.ReadDir(h.d.SocketDir())
		h.must(err)
		if len(sockets) != 1 {
			t.Fatalf("%d sockets", len(sockets))
		}
		socket, err := sockets[0].Info()
		h.must(err)
		// runc's shim makes the directory 0711.
		if perm := dir.Mode().Perm(); h.mini() && perm != 0o700 {
			t.Errorf("%s has mode %o, want 700", h.d.SocketDir(), perm)
		}
		if perm := socket.Mode().Perm(); perm != 0o600 {
			t.Errorf("the socket has mode %o, want 600", perm)
		}
		c.kill()
	})
}

// TestShimStackDump: SIGUSR1 makes the shim log what its goroutines do.
func TestShimStackDump(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		h.must(syscall.Kill(c.shim(), syscall.SIGUSR1))
		h.eventually(func() error {
			if !strings.Contains(h.d.Log(), "goroutine ") {
				return fmt.Errorf("no stacks in containerd's log")
			}
			return nil
		})
		c.kill()
	})
}
