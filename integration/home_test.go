// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestHome: where the environment has no HOME, init and execs find their user's in the
// container's /etc/passwd, whatever becomes of that file.
func TestHome(t *testing.T) {
	const line = "mini:x:7:7::/home/mini:/bin/sh\n"
	each(t, func(t *testing.T, h *harness) {
		dir := h.TempDir()
		passwd := filepath.Join(dir, "passwd")
		h.must(os.WriteFile(passwd, []byte("root:x:0:0:root:/root:/bin/sh\n"+line), 0o600))
		user := func(uid uint32, env ...string) oci.SpecOpts {
			return process(func(p *specs.Process) {
				p.User.UID, p.Env = uid, append([]string{"PATH=/bin"}, env...)
			})
		}
		const say = "echo $HOME; exec sleep 1000"
		c := h.start(bind(passwd, "/etc/passwd"), user(7), sh(say))
		c.expect("/home/mini\n")
		exec := func(what, want string, opts ...oci.SpecOpts) {
			t.Helper()
			out, _, _ := c.execs(append(opts, sh("echo $HOME"))...)
			h.equal(what, out, want+"\n")
		}
		exec("exec", "/home/mini", user(7))
		exec("exec of root", "/root", user(0))
		exec("exec of nobody known", "/", user(8))
		exec("exec with HOME", "/x", user(7, "HOME=/x"))
		exec("exec with an empty HOME", "/home/mini", user(7, "HOME="))
		h.must(os.WriteFile(passwd, append(bytes.Repeat([]byte("other:x:8:8::/other:/bin/sh\n"), 1000), line...), 0o600))
		exec("exec with a large file", "/home/mini", user(7))
		h.must(os.WriteFile(passwd, nil, 0o600))
		exec("exec with an empty file", "/", user(7))
		c.kill()

		c = h.start(spec(func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/etc"})
		}), user(7), sh(say))
		c.expect("/\n")
		exec("exec without the file", "/", user(7))
		c.kill()
	})
}

// TestHungHome: execs whose HOME is to be looked up in files that do not answer wait in
// their container. No thread of the shim does; each can be killed, and all end with the
// container.
func TestHungHome(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		fs := h.fuse(testenv.Rootfs(t))
		defer fs.abort() // before the containers are removed
		group := h.pod()
		neighbour := h.start(group, forever())
		neighbour.lives("neighbour")
		victim := h.startOn(fs, group)
		shim := neighbour.shim()
		files := len(h.fds(shim))
		fs.hung.Store(true)
		const execs = 20
		var dones []<-chan error
		var all []*execution
		for range execs {
			e := victim.exec(oci.WithProcessArgs("/bin/ls"))
			all, dones = append(all, e), append(dones, e.begin(h.ctx))
		}
		h.eventually(func() error {
			pids, err := victim.Pids(h.ctx)
			h.must(err)
			hung := 0
			for _, p := range pids {
				hung += inFUSE(h, int(p.Pid))
			}
			if hung < execs {
				return fmt.Errorf("%d execs wait for the file system", hung)
			}
			return nil
		})
		if n := inFUSE(h, shim); n > 0 {
			t.Errorf("%d threads of the shim wait for the container's file system", n)
		}
		neighbour.lives("neighbour")
		h.must(all[0].Kill(h.ctx, syscall.SIGKILL))
		all[0].ended("killed exec", dones[0], shim, 1<<20)
		h.quick("Kill", func(ctx context.Context) error { return victim.Kill(ctx, syscall.SIGKILL) })
		for i, done := range dones[1:] {
			select {
			case err := <-done:
				if err == nil {
					t.Error("an exec was started")
				}
			case <-time.After(testenv.Patience(15 * time.Second)):
				t.Fatalf("the start of exec %d goes on", i+1)
			}
		}
		fs.abort()
		victim.wait()
		victim.delete()
		h.eventually(func() error {
			if now := h.fds(shim); len(now) > files {
				return fmt.Errorf("%d files before, now %d: %q", files, len(now), now)
			}
			return nil
		})
		neighbour.kill()
	})
}

// inFUSE returns how many threads of a process wait for the answer of a FUSE server.
func inFUSE(h *harness, pid int) (n int) {
	h.Helper()
	stacks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stack", pid))
	h.must(err)
	for _, file := range stacks {
		if stack, err := os.ReadFile(file); err == nil && strings.Contains(string(stack), "fuse_") {
			n++
		}
	}
	return n
}
