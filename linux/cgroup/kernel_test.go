// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

func TestMain(m *testing.M) {
	if _, err := sys.Proc(); err != nil { // stays open, and is no leak
		panic(err)
	}
	os.Exit(testenv.Main(m, testenv.CgroupPrefix()))
}

// openHierarchy opens the machine's cgroup2 tree for the test.
func openHierarchy(t testing.TB) *Hierarchy {
	t.Helper()
	h, err := OpenHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// testBase is a cgroup of the test's own, as a path below the mount.
func testBase(t testing.TB, h *Hierarchy) string {
	t.Helper()
	rel, err := filepath.Rel(h.Mountpoint, testenv.Cgroup(t))
	if err != nil {
		t.Fatal(err)
	}
	return "/" + rel
}

// newGroup makes a group, which the end of the test deletes.
func newGroup(t testing.TB, h *Hierarchy, path string) *Group {
	t.Helper()
	g, err := h.Create(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Delete(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return g
}

// start runs a process that ends at once in the directory.
func start(dir *os.File) error {
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	return cmd.Run()
}
