// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestALife(t *testing.T) {
	onRig(t, func(r *rig) {
		out := fifo(r.TB, "out")
		f := client(r.TB, out, os.O_RDONLY)
		c := r.create(Stdio{Stdout: out}, "echo hello; exit 7")
		init := c.Init()
		r.state(init, Created)
		if pid, err := c.bundle.readPid(); err != nil || pid != init.Pid() || pid == 0 {
			r.Errorf("init.pid: %d, %v", pid, err)
		}
		r.start(init, nil)
		e := r.wait(init)
		r.state(init, Stopped)
		if got := readAll(r.TB, f); got != "hello\n" {
			r.Errorf("output: %q", got)
		}
		rec, err := c.bundle.readExit()
		if err != nil || rec.Code != 7 || rec.Pid != e.Pid || !rec.At.Equal(e.At) || e.Code != 7 {
			r.Errorf("exit %+v, recorded %+v, %v", e, rec, err)
		}
		r.refused(init.Start(r.Context()), errdefs.ErrFailedPrecondition)
		r.refused(init.Kill(syscall.SIGTERM, false), errdefs.ErrNotFound)
		r.must(init.Kill(syscall.SIGKILL, true)) // as runc kill --all
		r.refused(c.Pause(r.Context()), errdefs.ErrFailedPrecondition)
		r.refused(c.Update(r.Context(), []byte(`{}`)), errdefs.ErrFailedPrecondition)
		_, err = r.exec(c, "e", "true", Stdio{})
		r.refused(err, errdefs.ErrFailedPrecondition)
		d, err := init.Delete(r.Context())
		if err != nil || d != e {
			r.Errorf("deleted: %+v, %v", d, err)
		}
		_, err = init.Delete(r.Context())
		r.refused(err, errdefs.ErrNotFound)
		if _, err := os.Stat(c.bundle.path(recordFile)); !errors.Is(err, os.ErrNotExist) {
			r.Errorf("record.json is still there: %v", err)
		}
		if got, want := r.noted(), "c2 exited 7, recorded true"; got != want {
			r.Errorf("noted %q, want %q", got, want)
		}
	})
}

func TestExecsOfALife(t *testing.T) {
	onRig(t, func(r *rig) {
		c := r.create(Stdio{}, "sleep 1000")
		a, err := r.exec(c, "a", "exit 3", Stdio{})
		r.must(err)
		r.state(a, Created)
		r.refused(a.Kill(syscall.SIGKILL, false), errdefs.ErrFailedPrecondition)
		r.start(c.Init(), nil)
		r.start(a, nil)
		if e := r.wait(a); e.Code != 3 || e.Pid == 0 || e.Pid != a.Pid() {
			r.Errorf("exec: %+v", e)
		}
		_, err = r.exec(c, "a", "true", Stdio{})
		r.refused(err, errdefs.ErrAlreadyExists)
		_, err = r.exec(c, c.id, "true", Stdio{})
		r.refused(err, errdefs.ErrAlreadyExists)
		_, err = r.exec(c, "", "true", Stdio{})
		r.refused(err, errdefs.ErrInvalidArgument)
		_, err = c.Exec(&ExecConfig{ID: "x", Spec: []byte("{")})
		r.refused(err, errdefs.ErrInvalidArgument)
		_, err = c.Process("x")
		r.refused(err, errdefs.ErrNotFound)
		_, err = a.Delete(r.Context())
		r.must(err)
		_, err = c.Process("a")
		r.refused(err, errdefs.ErrNotFound)

		missing, err := c.Exec(&ExecConfig{ID: "a", Spec: []byte(`{"args": ["/none"], "cwd": "/"}`)})
		r.must(err)
		r.refused(missing.Start(r.Context()), errdefs.ErrNotFound)
		if e := r.wait(missing); e.Code != 255 || missing.Pid() != 0 {
			r.Errorf("never started: %+v, pid %d", e, missing.Pid())
		}
		r.refused(missing.Start(r.Context()), errdefs.ErrFailedPrecondition)
		_, err = missing.Delete(r.Context())
		r.must(err)

		tree := r.start(r.exec(c, "tree", "sleep 500 & sleep 500", Stdio{}))
		pids, err := c.Pids()
		r.must(err)
		if !slices.Contains(pids, Pid{tree.Pid(), "tree"}) || !slices.Contains(pids, Pid{c.Init().Pid(), ""}) {
			r.Errorf("pids: %v", pids)
		}
		_, err = tree.Delete(r.Context())
		r.refused(err, errdefs.ErrFailedPrecondition)
		r.must(tree.Kill(syscall.SIGKILL, false))
		if e := r.wait(tree); e.Code != 137 {
			r.Errorf("killed: %+v", e)
		}
		r.must(c.Close(r.Context())) // with tree and a not deleted
		want := "a added, a exited 3, recorded false, a added, tree added, " +
			"tree exited 137, recorded false, c2 exited 137, recorded true"
		if got := r.noted(); got != want {
			r.Errorf("noted %q, want %q", got, want)
		}
	})
}

// Without a pid namespace nothing but us ends what init leaves behind.
func TestInitIsTheLastWithoutAPidNamespace(t *testing.T) {
	onRig(t, func(r *rig) {
		defer ReapOrphans()()
		c := r.create(Stdio{}, "sleep 1000 & exit 0", func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
		})
		e := r.start(r.exec(c, "e", "sleep 1000", Stdio{}))
		r.start(c.Init(), nil)
		r.wait(c.Init())
		r.state(e, Stopped)
		want := "e added, e exited 137, recorded false, c2 exited 0, recorded true"
		if got := r.noted(); got != want {
			r.Errorf("noted %q, want %q", got, want)
		}
		_, err := c.Init().Delete(r.Context())
		r.must(err)
	})
}

func TestPaused(t *testing.T) {
	onRig(t, func(r *rig) {
		c := r.create(Stdio{}, "sleep 1000")
		r.refused(c.Pause(r.Context()), errdefs.ErrFailedPrecondition)
		r.start(c.Init(), nil)
		e := r.start(r.exec(c, "e", "sleep 1000", Stdio{}))
		late, err := r.exec(c, "late", "true", Stdio{})
		r.must(err)
		r.refused(c.Resume(r.Context()), errdefs.ErrFailedPrecondition)
		r.must(c.Pause(r.Context()))
		r.state(c.Init(), Paused)
		r.state(e, Paused)
		r.refused(c.Pause(r.Context()), errdefs.ErrFailedPrecondition)
		r.refused(late.Start(r.Context()), errdefs.ErrFailedPrecondition)
		_, err = r.exec(c, "no", "true", Stdio{})
		r.refused(err, errdefs.ErrFailedPrecondition)
		r.must(c.Resume(r.Context()))
		r.state(e, Running)
		r.start(late, nil)
		r.wait(late)
		r.must(c.Pause(r.Context()))
		r.must(c.Init().Kill(syscall.SIGKILL, false))
		if x := r.wait(c.Init()); x.Code != 137 {
			r.Errorf("killed while paused: %+v", x)
		}
		r.must(c.Close(r.Context()))
	})
}

func TestDeleteOfWhatWasNeverStarted(t *testing.T) {
	onRig(t, func(r *rig) {
		c := r.create(Stdio{}, "true")
		x, err := r.exec(c, "e", "true", Stdio{})
		r.must(err)
		e, err := c.Init().Delete(r.Context())
		if err != nil || e.Code != 137 {
			r.Errorf("got %+v, %v", e, err)
		}
		if e := r.wait(x); e.Code != 255 {
			r.Errorf("exec that was never started: %+v", e)
		}
		if got, want := r.noted(), "e added, c2 exited 137, recorded true"; got != want {
			r.Errorf("noted %q, want %q", got, want)
		}
	})
}

func TestAFailedCreateLeavesNothing(t *testing.T) {
	onRig(t, func(r *rig) {
		out := fifo(r.TB, "out")
		client(r.TB, out, os.O_RDONLY)
		dir := r.bundle(false, "", func(s *specs.Spec) { s.Process.Args = []string{"no-such-command"} })
		_, err := New(r.Context(), &Config{ID: "c", Bundle: dir, Stdio: Stdio{Stdout: out, Stderr: out}})
		r.refused(err, errdefs.ErrNotFound)
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		r.must(err)
		if len(files) != 1 {
			r.Errorf("in the bundle: %v", files)
		}
	})
}

func TestCleanupKillsWhatTheRecordNames(t *testing.T) {
	onRig(t, func(r *rig) {
		c := r.create(Stdio{}, "sleep 1000")
		r.start(c.Init(), nil)
		pid := c.Init().Pid()
		e, err := Cleanup(c.Bundle(), c.id)
		if err != nil || e.Code != 137 || e.Pid != pid {
			r.Errorf("got %+v, %v", e, err)
		}
		r.wait(c.Init())
		r.must(c.Close(r.Context()))
	})
}
