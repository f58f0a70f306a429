// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/containerd-mini/mini/integration/bed"
)

// smallState puts all bundles on a tmpfs of their own. fill takes all its space
// and returns what gives it back; remount changes its flags.
func (h *harness) smallState() (fill func() func(), remount func(flags uintptr)) {
	h.Helper()
	dir := h.d.StateDir()
	h.must(os.MkdirAll(dir, 0o711))
	h.must(syscall.Mount("small", dir, "tmpfs", 0, "size=1m,mode=711"))
	h.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			h.Error(err)
		}
	})
	fill = func() func() {
		file := filepath.Join(dir, ".full")
		f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
		h.must(err)
		for size := 64 << 10; size > 0; {
			if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
				size /= 2
			} else {
				h.must(err)
			}
		}
		h.must(f.Close())
		return func() { h.must(os.Remove(file)) }
	}
	remount = func(flags uintptr) { h.must(syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, "")) }
	return fill, remount
}

// TestFullDisk: what cannot be written down before the container runs fails its
// create and leaves nothing; the end of one that runs is told, and on disk.
func TestFullDisk(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, faults string) {
		fill, _ := h.smallState()
		for _, name := range []string{"create.before-cgroup", "create.recorded", "create.prepared", "create.cloned", "create.attached"} {
			point := h.hold(faults, faultPoint{name: name})
			c := h.container(forever())
			done := make(chan error, 1)
			go func() { done <- createHeld(h, c, point.arm) }()
			point.await(done)
			empty := fill()
			point.release()
			if err := <-done; err == nil || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
				t.Errorf("full at %s: %v", name, err)
			}
			left, err := h.d.Leftovers(func(line string) bool {
				return strings.HasPrefix(line, "mount ") && strings.HasSuffix(line, h.d.StateDir()) || strings.HasSuffix(line, ".full")
			})
			if err != nil || len(left) > 0 {
				t.Errorf("full at %s: left behind: %q, %v", name, left, err)
			}
			empty()
			h.must(again(h, c))
		}
		c := h.start(sh("echo ready; read x; exit 23"))
		c.expect("ready")
		empty := fill()
		c.types("\n")
		if code := c.wait(); code != 23 {
			t.Errorf("exit code %d, want 23", code)
		}
		c.delete()
		empty()
	})
}

// TestFullDiskAndDeath: the end is on the disk that was full when the shim died.
func TestFullDiskAndDeath(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, _ string) {
		fill, _ := h.smallState()
		c := h.start(sh("echo ready; read x; exit 23"))
		c.expect("ready")
		exits := h.record(c.ID())
		shim := c.shim()
		empty := fill()
		c.types("\n")
		if code := c.wait(); code != 23 {
			t.Errorf("exit code %d, want 23", code)
		}
		// The shim tells it, and containerd once more when the shim is gone.
		for _, count := range []int{1, 2} {
			h.eventually(func() error {
				if all := exits.all(); strings.Count(strings.Join(all, "\n"), "exit init 23") < count {
					return fmt.Errorf("fewer than %d exits in %q", count, all)
				}
				return nil
			})
			if count == 1 {
				h.must(syscall.Kill(shim, syscall.SIGKILL))
			}
		}
		empty()
	})
}

// TestReadOnlyBundle: nothing can be written and nothing removed. The end is told
// all the same, and what is left goes when the bundle can be written again.
func TestReadOnlyBundle(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, _ string) {
		_, remount := h.smallState()
		created, running := h.create(forever()), h.start(sh("echo ready; read x; exit 23"))
		running.expect("ready")
		remount(syscall.MS_RDONLY)
		h.must(created.Start(h.ctx))
		created.expect("ready")
		out, _, _ := created.execs(sh("echo exec"))
		h.equal("exec", out, "exec\n")
		running.types("\n")
		if code := running.wait(); code != 23 {
			t.Errorf("exit code %d, want 23", code)
		}
		h.must(created.Kill(h.ctx, syscall.SIGKILL))
		if code := created.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		if _, err := h.tryCreate(h.container(forever())); err == nil {
			t.Error("a container was created on a read-only disk")
		}
		for c, code := range map[*task]uint32{created: 137, running: 23} {
			status, err := c.Delete(h.ctx) // of the task; containerd logs that the bundle stays
			h.must(err)
			if status.ExitCode() != code {
				t.Errorf("delete: exit code %d, want %d", status.ExitCode(), code)
			}
		}
		h.eventually(func() error {
			if left := h.processes(func(p bed.Process) bool { return p.Pid != 0 }); len(left) > 0 {
				return fmt.Errorf("processes left: %v", left)
			}
			return nil
		})
		remount(0)
		h.must(h.d.Kill())
		h.must(h.d.Restart(h.ctx)) // which removes bundles that no shim serves
	})
}

// unread are streams that nobody has at their other ends.
type unread struct{ config cio.Config }

func (u unread) Config() cio.Config { return u.config }
func (u unread) Cancel()            {}
func (u unread) Wait()              {}
func (u unread) Close() error       { return nil }
