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
// controllers to the groups there: its own takes no process then.
func TestPlaceWhereTheContainerDelegates(t *testing.T) {
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
	init := into(t, dir, "exec sleep 60").Process.Pid
	p, err := g.Place(init, true)
	for _, kind := range []kind{withContainer, inSlot, withInit} {
		if err != nil {
			t.Fatal(err)
		}
		if p.kind != kind {
			t.Errorf("the place is %d, not %d", p.kind, kind)
		}
		if err := start(p.Dir()); PlaceRefused(err) != (kind == withContainer) {
			t.Errorf("a clone into %s: %v", p.Dir().Name(), err)
		}
		if kind != withInit {
			p, err = p.Next(init)
		}
	}
	p.Release()
}

// TestDelegate: the directory and the files that the kernel lists, or those of the
// specification where it does not, get an owner; no others. One that the group has
// not is no error.
func TestDelegate(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	odd := filepath.Join(t.TempDir(), "odd")
	if err := os.WriteFile(odd, []byte("cgroup.procs\nno.such.file\ncgroup.subtree_control\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := testBase(t, h)
	for list, threads := range map[string]uint32{delegateList: 1000, filepath.Join(t.TempDir(), "none"): 1000, odd: 0} {
		g := newGroup(t, h, base+"/"+filepath.Base(list))
		if err := g.delegate(1000, 1001, list); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]uint32{
			".":                      1000,
			"cgroup.procs":           1000,
			"cgroup.subtree_control": 1000,
			"cgroup.threads":         threads,
			"cgroup.freeze":          0,
			"cgroup.kill":            0,
		} {
			var st unix.Stat_t
			if err := unix.Fstatat(int(g.Dir().Fd()), name, &st, 0); err != nil || st.Uid != want {
				t.Errorf("%s: %s belongs to %d, %v; want %d", list, name, st.Uid, err, want)
			}
		}
	}
}
