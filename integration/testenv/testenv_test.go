// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m, CgroupPrefix())) }

func TestSubprocessHasNamespacesOfItsOwn(t *testing.T) {
	Root(t)
	outside, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TESTENV_OUTSIDE", outside) // set in the inner process already, to the outer's
	if v := os.Getenv("TESTENV_FIRST"); v == "" {
		t.Setenv("TESTENV_FIRST", outside)
	}
	Subprocess(t, syscall.CLONE_NEWNS|syscall.CLONE_NEWPID, func(t *testing.T) {
		NoLeaks(t)
		if os.Getpid() != 1 {
			t.Errorf("pid %d, want 1", os.Getpid())
		}
		inside, err := os.Readlink("/proc/self/ns/mnt")
		if err != nil {
			t.Fatal(err)
		}
		if inside == os.Getenv("TESTENV_FIRST") {
			t.Errorf("mount namespace %s inside and outside", inside)
		}
	})
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Errorf("the inner proc mount came out: %v", err)
	}
}

// leaksOf returns what f leaves behind, by kind; undo removes it again.
func leaksOf(t *testing.T, f func() (undo func())) []string {
	t.Helper()
	before, err := snapshot([]string{CgroupPrefix()})
	if err != nil {
		t.Fatal(err)
	}
	undo := f()
	leaks, err := before.leaks(20 * time.Millisecond)
	undo()
	if err != nil {
		t.Fatal(err)
	}
	return leaks
}

func TestLeaksAreFound(t *testing.T) {
	Root(t)
	Subprocess(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		check := func(kind string, leaks []string) {
			t.Helper()
			if !slices.ContainsFunc(leaks, func(l string) bool { return strings.HasPrefix(l, kind+" ") }) {
				t.Errorf("%s not found among %q", kind, leaks)
			}
		}
		check("fd", leaksOf(t, func() func() {
			f, err := os.Open("/dev/null")
			if err != nil {
				t.Fatal(err)
			}
			return func() { f.Close() }
		}))
		check("child", leaksOf(t, func() func() {
			cmd := exec.Command("sleep", "100")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return func() { _, _ = cmd.Process.Kill(), cmd.Wait() } // it is killed: Wait says so
		}))
		dir := t.TempDir()
		check("mount", leaksOf(t, func() func() {
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			return func() { _ = syscall.Unmount(dir, 0) } // a mount that stays is a leak
		}))
		check("cgroup", leaksOf(t, func() func() {
			dir := Cgroup(t)
			if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
				t.Fatal(err)
			}
			return func() {}
		}))
		if leaks := leaksOf(t, func() func() { return func() {} }); len(leaks) > 0 {
			t.Errorf("nothing done, yet left behind: %q", leaks)
		}
	})
}

func TestCgroupIsKilledAndRemoved(t *testing.T) {
	Root(t)
	var dir string
	var cmd *exec.Cmd
	t.Run("use", func(t *testing.T) {
		dir = Cgroup(t)
		below := filepath.Join(dir, "a")
		if err := os.Mkdir(below, 0o755); err != nil {
			t.Fatal(err)
		}
		d, err := os.Open(below)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		cmd = exec.Command("sleep", "100")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(d.Fd())}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	if err := cmd.Wait(); err == nil {
		t.Error("the process in the cgroup came to its own end")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestRootfsRuns(t *testing.T) {
	Root(t)
	cmd := exec.Command("/bin/sh", "-c", "test -d /proc && id -u")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: Rootfs(t)}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "0\n" {
		t.Errorf("got %q, %v", out, err)
	}
}
