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
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/testenv"
)

// ended checks that the start of an exec ends soon, that its exit is known, that it can
// be deleted, and that the shim has no more files open than before. A start that met the
// end of the container may be one of an exec that was killed.
func (e *execution) ended(what string, done <-chan error, shim, files int) {
	e.h.Helper()
	want := uint32(client.UnknownExitStatus)
	select {
	case err := <-done:
		e.h.Logf("%s: %v", what, err)
		if err == nil && strings.HasPrefix(what, "container") {
			want = 137
		}
	case <-time.After(testenv.Patience(5 * time.Second)):
		e.h.Fatalf("%s: its start goes on", what)
	}
	if code := e.wait(); code != want {
		e.h.Errorf("%s: exit code %d, want %d", what, code, want)
	}
	if _, err := e.Delete(e.h.ctx); err != nil {
		e.h.Errorf("%s: delete: %v", what, err)
	}
	e.h.eventually(func() error {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", shim)); err != nil {
			return nil // the last container has ended
		}
		if now := e.h.fds(shim); len(now) > files {
			return fmt.Errorf("%s: %d files before, now %d: %q", what, files, len(now), now)
		}
		return nil
	})
}

// begin starts an exec in the background.
func (e *execution) begin(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- e.Start(ctx) }()
	return done
}

// TestStoppedExecEnds: an exec that was stopped before its execve is ended by its own
// SIGKILL, by the end of the request, and by that of its container.
func TestStoppedExecEnds(t *testing.T) {
	for _, point := range faultPoints(t) {
		if point.operation() != "exec" || !point.inChild {
			continue
		}
		t.Run(point.name, func(t *testing.T) {
			miniAlone(t, func(t *testing.T, h *harness, faults string) {
				group := h.pod()
				anchor := h.start(group, forever()) // for the shim's life
				anchor.expect("ready")
				for what, end := range map[string]func(c *task, p *execution) error{
					"kill":                 func(_ *task, p *execution) error { return p.Kill(h.ctx, syscall.SIGKILL) },
					"request":              func(*task, *execution) error { return nil },
					"container's kill":     func(c *task, _ *execution) error { return c.Kill(h.ctx, syscall.SIGKILL) },
					"container's kill all": func(c *task, _ *execution) error { return c.Kill(h.ctx, syscall.SIGKILL, client.WithKillAll) },
				} {
					c := h.start(group, forever())
					c.expect("ready")
					c.lives("at first") // which opens what all others share
					shim := c.shim()
					files := len(h.fds(shim))
					ctx, cancel := context.WithCancel(h.ctx)
					if what == "request" {
						ctx, cancel = context.WithTimeout(h.ctx, time.Second)
					}
					p := c.exec(sh("sleep 1000"))
					hold := h.hold(faults, point)
					hold.arm()
					done := p.begin(ctx)
					child := hold.await(done)
					h.must(syscall.Kill(child, syscall.SIGSTOP))
					hold.release()
					h.must(end(c, p))
					p.ended(what, done, shim, files)
					cancel()
					if err := syscall.Kill(child, 0); err == nil {
						t.Errorf("%s: the child is there", what)
					}
					if strings.HasPrefix(what, "container") {
						h.quick(what+": Wait", func(context.Context) error { c.wait(); return nil })
						c.delete()
						continue
					}
					c.lives(what)
					c.kill()
				}
				anchor.kill()
			})
		})
	}
}

// TestFrozenExecEnds: the same of an exec that is born into a paused container.
func TestFrozenExecEnds(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, faults string) {
		c := h.start(forever())
		c.expect("ready")
		c.lives("at first") // which opens what all others share
		shim := c.shim()
		files := len(h.fds(shim))
		for _, what := range []string{"kill", "resume", "container's kill"} {
			p := c.exec(sh("exit 3"))
			hold := h.hold(faults, faultPoint{name: "exec.streams-open"})
			hold.arm()
			done := p.begin(h.ctx)
			hold.await(done)
			h.must(c.Pause(h.ctx))
			hold.release()
			select {
			case err := <-done:
				t.Fatalf("%s: an exec is started in a paused container: %v", what, err)
			case <-time.After(300 * time.Millisecond):
			}
			switch what {
			case "kill":
				if err := p.Kill(h.ctx, syscall.SIGTERM); err == nil {
					t.Error("SIGTERM for what does not run yet is accepted")
				}
				h.must(p.Kill(h.ctx, syscall.SIGKILL))
				p.ended(what, done, shim, files)
				h.must(c.Resume(h.ctx))
				c.lives(what)
			case "resume":
				h.must(c.Resume(h.ctx))
				h.must(<-done)
				if code := p.wait(); code != 3 {
					t.Errorf("%s: exit code %d", what, code)
				}
				_, err := p.Delete(h.ctx)
				h.must(err)
			default:
				h.must(c.Kill(h.ctx, syscall.SIGKILL))
				p.ended(what, done, shim, files)
				c.wait()
				c.delete()
			}
		}
	})
}

// TestHungExecEnds: the same of execs that wait for a server which does not answer. They
// cannot even be killed; those who wait for them go on, and the shim gives back all that
// it had open for them.
func TestHungExecEnds(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		fs := h.fuse(testenv.Rootfs(t))
		defer fs.abort() // before the containers are removed
		fs.last = "sleep"
		c := h.start(mount("bind", fs.mount, "/vol", "rbind"), forever())
		c.expect("ready")
		c.lives("at first") // which opens what all others share
		shim := c.shim()
		files := len(h.fds(shim))
		for what, end := range map[string]func(p *execution) error{
			"kill":    func(p *execution) error { return p.Kill(h.ctx, syscall.SIGKILL) },
			"request": func(*execution) error { return nil },
		} {
			ctx, cancel := h.ctx, context.CancelFunc(func() {})
			if what == "request" {
				ctx, cancel = context.WithTimeout(h.ctx, time.Second)
			}
			p := c.exec(oci.WithProcessArgs("/vol/bin/sleep", "1000"))
			done := p.begin(ctx)
			h.eventually(func() error {
				if !fs.hung.Load() {
					return fmt.Errorf("%s: nothing hangs", what)
				}
				return nil
			})
			h.must(end(p))
			files += 2 // its cgroup's
			p.ended(what, done, shim, files)
			cancel()
			c.lives(what)
		}
		fs.abort()
		h.eventually(func() error { // nobody waits for them, but the shim reaps them
			if n := running(t, "sleep 1000"); n > 0 {
				return fmt.Errorf("%d children of the shim are left", n)
			}
			return nil
		})
		c.kill()
	})
}

// TestSlowStartDoesNotDelayTheExit: an exec whose logger is not ready is no reason to
// keep the end of its container from anybody.
func TestSlowStartDoesNotDelayTheExit(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		program := filepath.Join(h.TempDir(), "logger")
		h.must(os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 1001\n"), 0o755))
		c := h.start(forever())
		c.expect("ready")
		p := c.exec(sh("true"))
		_, err := p.Delete(h.ctx)
		h.must(err)
		spec, err := c.c.Spec(h.ctx)
		h.must(err)
		p.Process, err = c.Exec(h.ctx, "slow", spec.Process, cio.LogURI(mustURL("binary://"+program)))
		h.must(err)
		done := p.begin(h.ctx)
		h.eventually(func() error {
			if running(t, "sleep 1001") == 0 {
				return fmt.Errorf("there is no logger")
			}
			return nil
		})
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		h.quick("Wait", func(context.Context) error { c.wait(); return nil })
		select {
		case err := <-done:
			if err == nil {
				t.Error("the exec was started")
			}
		case <-time.After(testenv.Patience(5 * time.Second)):
			t.Error("the exec's start goes on")
		}
		c.delete()
	})
}

// TestHeldStartDoesNotKeepTheExit: not even one whose start does not come to an end at
// all, as in a system call that nothing ends.
func TestHeldStartDoesNotKeepTheExit(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, faults string) {
		group := h.pod()
		anchor := h.start(group, forever())
		anchor.expect("ready")
		for _, point := range []string{"exec.streams-open"} {
			c := h.start(group, forever())
			c.expect("ready")
			p := c.exec(sh("sleep 1000"))
			hold := h.hold(faults, faultPoint{name: point})
			hold.arm()
			done := p.begin(h.ctx)
			hold.await(done)
			events, errs := h.d.Client.Subscribe(h.ctx, `topic=="/tasks/exit"`)
			h.must(c.Kill(h.ctx, syscall.SIGKILL))
			begin := time.Now()
			c.wait()
			select {
			case <-events:
			case err := <-errs:
				t.Fatal(err)
			case <-time.After(testenv.Patience(5 * time.Second)):
				t.Errorf("%s: no exit event", point)
			}
			if d := time.Since(begin); d > testenv.Patience(4*time.Second) {
				t.Errorf("%s: the exit came after %v", point, d)
			}
			c.delete()
			hold.release()
			<-done
		}
		anchor.kill()
	})
}
