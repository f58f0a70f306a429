// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd/errdefs"
)

// patience bounds what a test waits for; nothing is that slow.
const patience = 20 * time.Second

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// into starts a shell command in the cgroup directory.
func into(t testing.TB, dir *os.File, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd()), Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func exists(h *Hierarchy, path string) bool {
	_, err := os.Stat(filepath.Join(h.Mountpoint, path))
	return err == nil
}

func TestGroupIsMadeAndDeletedWithItsParents(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	a := newGroup(t, h, base+"/p/q/a")
	b := newGroup(t, h, base+"/p/q/b")
	if a.Path() != base+"/p/q/a" || !exists(h, a.Path()) {
		t.Fatalf("made %s", a.Path())
	}
	if err := a.Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	if exists(h, a.Path()) || !exists(h, b.Path()) {
		t.Error("a is there, or its sibling is not")
	}
	if err := b.Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	if exists(h, base+"/p") {
		t.Error("the parents that a made stay behind b")
	}
	if !exists(h, base) {
		t.Error("a parent that was there before went away")
	}
	if err := b.Delete(within(t)); err != nil {
		t.Errorf("a second delete: %v", err)
	}
	if _, err := b.Stats(); err == nil {
		t.Error("a deleted group has stats")
	}
	if _, err := b.Pids(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("pids of a deleted group: %v", err)
	}
}

func TestOpenAfterTheShimsDeath(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	if _, err := h.Open(base + "/none"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("a group that is not there: %v", err)
	}
	g := newGroup(t, h, base+"/p/c")
	into(t, g.Dir(), "sleep 60 & sleep 60")
	if err := os.MkdirAll(filepath.Join(h.Mountpoint, g.Path(), "x/y"), 0o755); err != nil {
		t.Fatal(err)
	}
	other, err := OpenHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	late, err := other.Open(base + "/p/c")
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	if exists(h, base+"/p") {
		t.Error("the group or the parent that was made for it is still there")
	}
}

func TestRemoveEmptyLeavesWhatIsInUse(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/p/c")
	cmd := into(t, g.Dir(), "exec sleep 60")
	if err := g.RemoveEmpty(); err != nil || !exists(h, g.Path()) {
		t.Errorf("with a process: there %v, %v", exists(h, g.Path()), err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := g.WaitEmpty(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := g.RemoveEmpty(); err != nil || exists(h, filepath.Dir(g.Path())) {
		t.Errorf("empty: %v", err)
	}
	if err := g.RemoveEmpty(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestDeleteDespiteLatecomers: processes that somebody puts into the group while it
// is being removed are killed as well, and Delete goes on until it is gone.
func TestDeleteDespiteLatecomers(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/p/c")
	if err := os.Mkdir(filepath.Join(h.Mountpoint, g.Path(), "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(filepath.Join(h.Mountpoint, g.Path(), "x")) // the group's own descriptor is closed by Delete
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	came := make(chan int)
	first := make(chan struct{})
	go func() {
		n := 0
		defer func() { came <- n }()
		for range 200 {
			cmd := exec.Command("sleep", "60")
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd()), Pdeathsig: syscall.SIGKILL}
			if cmd.Start() != nil {
				return // the group is gone
			}
			if n++; n == 1 {
				close(first)
			}
			defer func() { _ = cmd.Wait() }() // it is killed
		}
	}()
	<-first
	if err := g.Delete(within(t)); err != nil {
		t.Error(err)
	}
	if n := <-came; n == 0 || exists(h, filepath.Dir(g.Path())) {
		t.Errorf("%d came; there %v", n, exists(h, g.Path()))
	}
}
