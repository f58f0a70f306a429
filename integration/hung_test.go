// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/testenv"
)

// hungLimit is what an answer may take beside a mount that hangs: containerd gives
// State 2 s.
const hungLimit = 2 * time.Second

// hungTry is when a client gives up what may hang: long enough for a shim with the
// race detector to come that far.
const hungTry = 3 * time.Second

// quick fails the test if f takes longer than hungLimit.
func (h *harness) quick(what string, f func(context.Context) error) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.ctx, testenv.Patience(2*hungLimit))
	defer cancel()
	begin := time.Now()
	err := f(ctx)
	if d := time.Since(begin); d > testenv.Patience(hungLimit) {
		h.Errorf("%s took %v: %v", what, d, err)
	} else if err != nil {
		h.Errorf("%s: %v", what, err)
	}
}

// answers checks that a task can be asked about and signalled.
func (t *task) answers(who string) {
	t.h.Helper()
	t.h.quick(who+": State", func(ctx context.Context) error { _, err := t.Status(ctx); return err })
	t.h.quick(who+": Pids", func(ctx context.Context) error { _, err := t.Pids(ctx); return err })
	t.h.quick(who+": Stats", func(ctx context.Context) error { _, err := t.Metrics(ctx); return err })
	t.h.quick(who+": Connect", func(ctx context.Context) error { _, err := t.c.Task(ctx, nil); return err })
	t.h.quick(who+": Kill", func(ctx context.Context) error { return t.Kill(ctx, syscall.SIGWINCH) })
}

// lives checks that a task can do all that a task can.
func (t *task) lives(who string) {
	t.h.Helper()
	t.answers(who)
	t.h.quick(who+": Exec", func(context.Context) error {
		out, _, _ := t.execs(sh("echo alive"))
		t.h.equal("exec", out, "alive\n")
		return nil
	})
	t.h.quick(who+": Pause", func(ctx context.Context) error { return t.Pause(ctx) })
	t.h.quick(who+": Resume", func(ctx context.Context) error { return t.Resume(ctx) })
}

// tries begins what may hang, and gives its context up after a second; its end is
// not waited for.
func (h *harness) tries(what string, f func(context.Context) error) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.ctx, hungTry)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- f(ctx)
	}()
	select {
	case err := <-done:
		h.Logf("%s: %v", what, err)
	case <-time.After(15 * time.Second):
		h.Errorf("%s: containerd's client did not give up", what)
	}
}

// TestHungVolume: the volume of one container of a pod hangs. Who waits for it
// cannot be killed; everybody else is served.
func TestHungVolume(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		fs := h.fuse(testenv.Rootfs(t))
		defer fs.abort() // before the containers are removed
		volume := mount("bind", fs.mount, "/vol", "rbind")
		group := h.pod()
		neighbour, victim := h.start(group, forever()), h.start(group, volume, forever())
		neighbour.expect("ready")
		victim.expect("ready")
		out, _, _ := victim.execs(sh("cat /vol/etc/group | head -1"))
		h.equal("volume", out, "root:x:0:\n")

		fs.hung.Store(true)
		reader := victim.exec(sh("cat /vol/etc/passwd"))
		h.must(reader.Start(h.ctx))
		h.eventually(func() error {
			if running(t, "cat /vol/etc/passwd") == 0 {
				return fmt.Errorf("nobody reads the volume")
			}
			return nil
		})
		time.Sleep(200 * time.Millisecond) // and it has come to read
		victim.answers("victim")
		neighbour.lives("neighbour")
		// Kernels differ in whether such a wait can be frozen. If not, the pause is
		// given up, and the rest runs on.
		h.tries("pause of the victim", func(ctx context.Context) error { return victim.Pause(ctx) })
		if victim.status() == client.Paused {
			h.quick("victim: Resume", func(ctx context.Context) error { return victim.Resume(ctx) })
		}
		h.eventually(func() error {
			if s, freeze := victim.status(), victim.file("cgroup.freeze"); s != client.Running || freeze != "0" {
				return fmt.Errorf("victim is %s after a pause, cgroup.freeze %s", s, freeze)
			}
			return nil
		})
		second := h.container(group, volume, forever())
		h.tries("create with the volume", func(ctx context.Context) error { _, err := second.NewTask(ctx, cio.NullIO); return err })
		neighbour.lives("neighbour, beside a create")
		third := h.start(group, forever())
		third.lives("new container")
		third.kill()

		h.quick("victim: Kill", func(ctx context.Context) error { return victim.Kill(ctx, syscall.SIGKILL) })
		h.tries("delete of the victim", func(ctx context.Context) error { _, err := victim.Delete(ctx); return err })
		neighbour.lives("neighbour, beside a kill")
		victim.answersState("victim, killed")

		fs.abort()
		if code := victim.wait(); code != 137 {
			t.Errorf("victim: exit code %d, want 137", code)
		}
		victim.delete()
		neighbour.lives("neighbour, after it all")
		neighbour.kill()
	})
}

// answersState is answers for one that was killed and may be gone any moment.
func (t *task) answersState(who string) {
	t.h.Helper()
	t.h.quick(who+": State", func(ctx context.Context) error { _, err := t.Status(ctx); return err })
	t.h.quick(who+": Connect", func(ctx context.Context) error { _, err := t.c.Task(ctx, nil); return err })
}

// TestHungRootfs: the same of a root file system, in which nothing can be
// executed any more.
func TestHungRootfs(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		fs := h.fuse(testenv.Rootfs(t))
		defer fs.abort() // before the containers are removed
		group := h.pod()
		neighbour := h.start(group, forever())
		neighbour.expect("ready")
		victim := h.startOn(fs, group)

		fs.hung.Store(true)
		for i := range 3 {
			e := victim.exec(oci.WithProcessArgs("/bin/ls"))
			h.tries(fmt.Sprintf("exec %d", i), func(ctx context.Context) error { return e.Start(ctx) })
		}
		victim.answers("victim")
		neighbour.lives("neighbour")
		second := h.container(group, forever())
		h.tries("create", func(ctx context.Context) error { _, err := second.NewTask(ctx, cio.NullIO, fs.rootfs()); return err })
		neighbour.lives("neighbour, beside a create")
		h.quick("victim: Kill", func(ctx context.Context) error { return victim.Kill(ctx, syscall.SIGKILL) })
		neighbour.lives("neighbour, beside a kill")

		fs.abort()
		if code := victim.wait(); code != 137 {
			t.Errorf("victim: exit code %d, want 137", code)
		}
		victim.delete()
		neighbour.kill()
	})
}

// TestHungCreateAlone: a create that hangs, in the shim or in init, is given up by
// containerd's client; when it can, it is undone, and nothing is left.
func TestHungCreateAlone(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		for _, hang := range []struct{ what, last string }{{"mounts", "proc"}, {"command", "sleep"}} {
			what := hang.what
			fs := h.fuse(testenv.Rootfs(t))
			defer fs.abort()
			fs.last = hang.last
			c := h.container(oci.WithProcessArgs("/bin/sleep", "1000000"))
			h.tries("create, "+what, func(ctx context.Context) error { _, err := c.NewTask(ctx, cio.NullIO, fs.rootfs()); return err })
			if !fs.hung.Load() {
				t.Errorf("%s: nothing hung", what)
			}
			// The shim finds that nobody needs it (graceTime), and containerd's delete
			// verb comes to its limit.
			time.Sleep(8 * time.Second)
			fs.abort()
			h.eventually(func() error {
				if left := h.leftovers(); len(left) > 0 {
					return fmt.Errorf("%s: left behind: %q", what, left)
				}
				return nil
			})
		}
	})
}

// TestHungLogger: a logger whose file system does not answer keeps nobody but its own
// container waiting: the others of the pod are made, run and end.
func TestHungLogger(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		dir := h.TempDir()
		h.must(os.WriteFile(filepath.Join(dir, "logger"), []byte("#!/bin/sh\nexec 5>&-\nexec cat <&3\n"), 0o755))
		fs := h.fuse(dir)
		defer fs.abort()
		fs.last = "logger"
		group := h.pod()
		neighbour, ending := h.start(group, forever()), h.start(group, forever())
		neighbour.expect("ready")
		c := h.container(group, forever())
		log := cio.LogURI(mustURL("binary://" + fs.mount + "/logger"))
		h.tries("create with the logger", func(ctx context.Context) error { _, err := c.NewTask(ctx, log); return err })
		if !fs.hung.Load() {
			t.Fatal("nothing hung")
		}
		neighbour.lives("neighbour")
		h.quick("Kill", func(ctx context.Context) error { return ending.Kill(ctx, syscall.SIGKILL) })
		h.quick("Wait", func(context.Context) error { ending.wait(); return nil })
		ending.delete()
		third := h.start(group, forever())
		third.lives("new container")
		third.kill()
		neighbour.kill()
	})
}
