// SPDX-License-Identifier: Apache-2.0

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// rig makes real containers from a busybox root.
type rig struct {
	testing.TB
	rootfs string
	count  int

	mu     sync.Mutex
	events []string // guarded by mu; what Notify told
}

// onRig runs body in a process of its own, as root, and checks that it leaves
// nothing. A container and an exec come before the check: the first of each open
// descriptors that stay.
func onRig(t *testing.T, body func(r *rig)) {
	t.Helper()
	testenv.Root(t)
	testenv.Subprocess(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		r := &rig{TB: t, rootfs: testenv.Rootfs(t)}
		c := r.create(Stdio{}, "true")
		r.wait(r.start(r.exec(c, "e", "true", Stdio{})))
		r.must(c.Close(t.Context()))
		r.events = nil
		testenv.NoLeaks(t, "mini-test-")
		body(r)
	})
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *rig) noted() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.events, ", ")
}

// bundle writes a bundle for a shell script and returns its directory.
func (r *rig) bundle(terminal bool, script string, change ...func(*specs.Spec)) string {
	r.Helper()
	r.count++
	dir := r.TempDir()
	s := &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: r.rootfs},
		Process: execProcess(script),
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=755"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: fmt.Sprintf("/mini-test-process-%d/c%d", os.Getpid(), r.count),
			Namespaces:  []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}},
		},
	}
	s.Process.Terminal = terminal
	for _, f := range change {
		f(s)
	}
	data, err := json.Marshal(s)
	r.must(err)
	r.must(os.WriteFile(filepath.Join(dir, configFile), data, 0o600))
	return dir
}

func execProcess(script string) *specs.Process {
	return &specs.Process{Args: []string{"/bin/sh", "-c", script}, Cwd: "/", Env: []string{"PATH=/bin"}}
}

func (r *rig) create(s Stdio, script string, change ...func(*specs.Spec)) *Container {
	r.Helper()
	dir := r.bundle(s.Terminal, script, change...)
	c, err := New(r.Context(), &Config{
		ID: fmt.Sprintf("c%d", r.count), Bundle: dir, Stdio: s,
		Notify: r.notify(dir),
	})
	r.must(err)
	return c
}

func (r *rig) notify(dir string) Notify {
	return Notify{
		Added: func(p *Process) { r.note("%s added", p.ID()) },
		Exited: func(p *Process, e Exit) {
			_, err := os.Stat(filepath.Join(dir, exitFile))
			r.note("%s exited %d, recorded %t", p.ID(), e.Code, err == nil)
		},
		OOM: func() { r.note("oom") },
	}
}

func (r *rig) start(p *Process, err error) *Process {
	r.Helper()
	r.must(err)
	r.must(p.Start(r.Context()))
	return p
}

func (r *rig) exec(c *Container, id, script string, s Stdio) (*Process, error) {
	r.Helper()
	spec, err := json.Marshal(execProcess(script))
	r.must(err)
	return c.Exec(&ExecConfig{ID: id, Spec: spec, Stdio: s})
}

func (r *rig) wait(p *Process) Exit {
	r.Helper()
	e, err := p.Wait(r.Context())
	r.must(err)
	return e
}

func (r *rig) state(p *Process, want State) {
	r.Helper()
	if got := p.Status(); got != want {
		r.Errorf("%s is %s, want %s", p.object(), got, want)
	}
}

func (r *rig) refused(err, code error) {
	r.Helper()
	if !errors.Is(err, code) {
		r.Errorf("got %v, want %v", err, code)
	}
}

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
		_, err = r.exec(c, c.ID(), "true", Stdio{})
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
		e, err := Cleanup(c.Bundle(), c.ID())
		if err != nil || e.Code != 137 || e.Pid != pid {
			r.Errorf("got %+v, %v", e, err)
		}
		r.wait(c.Init())
		r.must(c.Close(r.Context()))
	})
}

func TestTerminal(t *testing.T) {
	onRig(t, func(r *rig) {
		in, out := fifo(r.TB, "in"), fifo(r.TB, "out")
		w, f := client(r.TB, out, os.O_RDONLY), client(r.TB, in, os.O_RDONLY) // the fifo needs a reader to be opened
		_ = f
		typed := client(r.TB, in, os.O_WRONLY)
		r.must(f.Close())
		c := r.create(Stdio{Stdin: in, Stdout: out, Terminal: true}, "stty size; read x; echo got $x; seq 3000; printf last")
		r.must(c.Init().Resize(100, 40))
		r.start(c.Init(), nil)
		_, err := typed.WriteString("word\n")
		r.must(err)
		got := readAll(r.TB, w)
		if !strings.Contains(got, "40 100\r\n") || !strings.Contains(got, "got word\r\n") || !strings.HasSuffix(got, "\r\n3000\r\nlast") {
			r.Errorf("output of %d bytes: %.80q ... %.40q", len(got), got, got[max(0, len(got)-40):])
		}
		r.wait(c.Init())
		r.must(c.Close(r.Context()))
	})
}

// The end of stdin hangs the terminal up, as under runc's shim: a program that
// reads it ends. (The SIGHUP is nothing to a pid 1 that has no handler.)
func TestTerminalIsHungUpAtTheEndOfStdin(t *testing.T) {
	onRig(t, func(r *rig) {
		in, out := fifo(r.TB, "in"), fifo(r.TB, "out")
		client(r.TB, out, os.O_RDONLY)
		c := r.create(Stdio{Stdin: in, Stdout: out, Terminal: true}, "while read x; do :; done; exit 5")
		r.start(c.Init(), nil)
		r.must(c.Init().CloseStdin())
		if e := r.wait(c.Init()); e.Code != 5 {
			r.Errorf("got %+v", e)
		}
		r.must(c.Close(r.Context()))
	})
}

// A grandchild that keeps the terminal open delays neither the exit nor the end
// of the output.
func TestTerminalOfAGrandchild(t *testing.T) {
	onRig(t, func(r *rig) {
		c := r.create(Stdio{}, "sleep 1000")
		r.start(c.Init(), nil)
		out := fifo(r.TB, "out")
		f := client(r.TB, out, os.O_RDONLY)
		start := time.Now()
		e := r.start(r.exec(c, "e", "trap '' HUP; sleep 1000 & echo bye", Stdio{Stdout: out, Terminal: true}))
		if x := r.wait(e); x.Code != 0 {
			r.Errorf("got %+v", x)
		}
		if got := readAll(r.TB, f); got != "bye\r\n" {
			r.Errorf("got %q", got)
		}
		_, err := e.Delete(r.Context())
		r.must(err)
		if d := time.Since(start); d > 5*hangupGrace {
			r.Errorf("took %s", d)
		}
		r.must(c.Close(r.Context()))
	})
}

// A reader that is slow gets everything all the same.
func TestTerminalWithASlowReader(t *testing.T) {
	onRig(t, func(r *rig) {
		out := fifo(r.TB, "out")
		f := client(r.TB, out, os.O_RDONLY)
		c := r.create(Stdio{Stdout: out, Terminal: true}, "seq 30000; printf end")
		r.start(c.Init(), nil)
		var got strings.Builder
		buf := make([]byte, 8192)
		for {
			n, err := f.Read(buf)
			got.Write(buf[:n])
			if errors.Is(err, io.EOF) {
				break
			}
			r.must(err)
			time.Sleep(2 * time.Millisecond)
		}
		if s := got.String(); !strings.HasSuffix(s, "30000\r\nend") || strings.Count(s, "\n") != 30000 {
			r.Errorf("%d lines, the end is %.20q", strings.Count(s, "\n"), s[max(0, len(s)-20):])
		}
		r.wait(c.Init())
		r.must(c.Close(r.Context()))
	})
}
