// SPDX-License-Identifier: Apache-2.0

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

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
		testenv.NoLeaks(t, testenv.CgroupPrefix())
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
			CgroupsPath: fmt.Sprintf("/%sprocess-%d/c%d", testenv.CgroupPrefix(), os.Getpid(), r.count),
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
		Late: func(p *Process) { r.note("%s late", p.ID()) },
		OOM:  func() { r.note("oom") },
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
	if got := p.Status().State; got != want {
		r.Errorf("%s is %s, want %s", p.object(), got, want)
	}
}

func (r *rig) refused(err, code error) {
	r.Helper()
	if !errors.Is(err, code) {
		r.Errorf("got %v, want %v", err, code)
	}
}
