// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
	"golang.org/x/sys/unix"
)

// A container with systemd in it moves its processes below, and gives
// controllers to the groups there.
func TestSlotWhereTheContainerDelegates(t *testing.T) {
	h := needs(t, "memory")
	g := newGroup(t, h, testBase(t, h)+"/c")
	scope := filepath.Join(h.Mountpoint, g.Path(), "init.scope")
	if err := errors.Join(os.Mkdir(scope, 0o755), writeFile(g.Dir(), "cgroup.subtree_control", "+memory")); err != nil {
		t.Fatal(err)
	}
	dir, err := openDir(nil, scope)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	init := into(t, dir, "exec sleep 60")
	s, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	if err := start(s.Dir()); err != nil {
		t.Errorf("a slot beside init.scope: %v", err)
	}
	if s, err = s.Next(init.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := start(s.Dir()); !PlaceRefused(err) {
		t.Errorf("the container's own group: %v", err)
	}
	if s, err = s.Next(init.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := start(s.Dir()); err != nil {
		t.Errorf("beside init: %v", err)
	}
	s.Release()
}

func TestDelegate(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := g.Delegate(1000, 1001); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint32{".": 1000, "cgroup.procs": 1000, "cgroup.subtree_control": 1000, "cgroup.freeze": 0, "cgroup.kill": 0} {
		var st unix.Stat_t
		if err := unix.Fstatat(int(g.Dir().Fd()), name, &st, 0); err != nil || st.Uid != want {
			t.Errorf("%s belongs to %d, %v; want %d", name, st.Uid, err, want)
		}
	}
}
