// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestEnter: a process that is moved comes where one that is cloned does, and is
// refused where that is.
func TestEnter(t *testing.T) {
	testenv.Root(t)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	pid := cmd.Process.Pid

	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := Enter(g.Dir(), pid); err != nil {
		t.Fatal(err)
	}
	if pids, err := g.Pids(); len(pids) != 1 || pids[0] != pid || err != nil {
		t.Errorf("in the group: %d, %v; entered: %d", pids, err, pid)
	}

	thread := filepath.Join(h.Mountpoint, g.Path(), "thread")
	err := errors.Join(os.Mkdir(thread, 0o755), os.WriteFile(thread+"/cgroup.type", []byte("threaded"), 0))
	if err != nil {
		t.Fatal(err)
	}
	s, err := g.Place(1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if err := Enter(s.Dir(), pid); !PlaceRefused(err) {
		t.Errorf("into an invalid domain: %v", err)
	}
	if err := rmdir(g.Dir(), s.slot.name); err != nil {
		t.Fatal(err)
	}
	if err := Enter(s.Dir(), pid); !PlaceRefused(err) {
		t.Errorf("into a group that was removed: %v", err)
	}
}

// TestEnterFullGroupOfTheKernel is TestEnterFullGroup with the controller itself.
func TestEnterFullGroupOfTheKernel(t *testing.T) {
	testenv.Root(t)
	testenv.Needs(t, testenv.Controllers("pids"))
	h := openHierarchy(t)
	g, err := h.Create(testBase(t, h)+"/c", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(1))}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Delete(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if err := writeFile(g.Dir(), "pids.max", "1"); err != nil {
		t.Fatal(err)
	}
	s, err := g.Place(1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	for _, full := range []bool{false, true} {
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
		if err := Enter(s.Dir(), cmd.Process.Pid); full != errors.Is(err, unix.EAGAIN) || !full && err != nil {
			t.Errorf("full %v: %v", full, err)
		}
	}
}

// TestEnterFullGroup: pids.max counts for a process that is moved, at each level,
// as for one that is cloned. The files are like those of the pids controller, which
// machines with cgroup v1 beside v2 do not have.
func TestEnterFullGroup(t *testing.T) {
	root := t.TempDir()
	low := filepath.Join(root, "pod", "container", "exec")
	if err := os.MkdirAll(low, 0o755); err != nil {
		t.Fatal(err)
	}
	set := func(dir, file, value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, dir, file), []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"pod", "pod/container", "pod/container/exec"} {
		set(dir, "cgroup.type", "domain")
		set(dir, "cgroup.procs", "")
	}
	// The exec's group has no controllers, and the root of the hierarchy no cgroup.type.
	set("", "pids.max", "0")
	set("", "pids.current", "99")
	dir, err := openDir(nil, low)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, c := range []struct {
		pod, container string
		current        string
		full           bool
	}{
		{"max", "max", "5", false},
		{"max", "5", "5", false},
		{"max", "4", "5", true},
		{"4", "max", "5", true},
		{"5", "6", "5", false},
	} {
		set("pod", "pids.max", c.pod)
		set("pod", "pids.current", c.current)
		set("pod/container", "pids.max", c.container)
		set("pod/container", "pids.current", c.current)
		if err := Enter(dir, 1); c.full != errors.Is(err, unix.EAGAIN) || !c.full && err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
