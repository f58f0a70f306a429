// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
	"golang.org/x/sys/unix"
)

func TestPidsAreHierarchical(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if list, err := g.Pids(); len(list) != 0 || err != nil {
		t.Fatalf("an empty group: %v, %v", list, err)
	}
	if busy, err := g.Populated(); busy || err != nil {
		t.Fatalf("an empty group is populated: %v", err)
	}
	slot, err := g.Place(1, false)
	if err != nil {
		t.Fatal(err)
	}
	own, sub := into(t, g.Dir(), "exec sleep 60"), into(t, slot.Dir(), "exec sleep 60")
	list, err := g.Pids()
	slices.Sort(list)
	want := []int{own.Process.Pid, sub.Process.Pid}
	slices.Sort(want)
	if !slices.Equal(list, want) || err != nil {
		t.Errorf("%v, %v; want %v", list, err, want)
	}
	if busy, err := g.Populated(); !busy || err != nil {
		t.Errorf("not populated: %v", err)
	}
}

func TestKillAndWaitEmpty(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := g.WaitEmpty(within(t)); err != nil {
		t.Fatalf("an empty group: %v", err)
	}
	cmd := into(t, g.Dir(), "while :; do sleep 0.01 & done")
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := g.WaitEmpty(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a process in it: %v", err)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := g.WaitEmpty(within(t)); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != unix.SIGKILL {
		t.Errorf("ended with %v", cmd.ProcessState)
	}
}

// TestHas: in a mount whose root is another cgroup than the hierarchy's, too, where
// /proc/PID/cgroup has a longer path than the group.
func TestHas(t *testing.T) {
	testenv.Root(t)
	has := func(t *testing.T, h *Hierarchy, base string) {
		g, other := newGroup(t, h, base+"/c"), newGroup(t, h, base+"/c2")
		sub := filepath.Join(h.Mountpoint, g.Path(), "sub")
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		dir, err := openDir(nil, sub)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		for _, c := range []struct {
			dir  *os.File
			want bool
		}{{g.Dir(), true}, {dir, true}, {other.Dir(), false}} {
			pid := into(t, c.dir, "exec sleep 60").Process.Pid
			if is, err := g.Has(pid); is != c.want || err != nil {
				t.Errorf("a process in %s: %v, %v", c.dir.Name(), is, err)
			}
		}
		if is, err := g.Has(1 << 22); is || !errors.Is(err, unix.ENOENT) {
			t.Errorf("a process that is not there: %v, %v", is, err)
		}
	}
	t.Run("the hierarchy's root", func(t *testing.T) {
		h := openHierarchy(t)
		has(t, h, testBase(t, h))
	})
	t.Run("another root", func(t *testing.T) {
		h := openHierarchy(t)
		base := filepath.Join(h.Mountpoint, testBase(t, h))
		testenv.Subprocess(t, unix.CLONE_NEWNS, func(t *testing.T) {
			if err := unix.Mount(base, h.Mountpoint, "", unix.MS_BIND, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(h.Mountpoint, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			inner := openHierarchy(t)
			if m, err := inner.mount(); err != nil || m.root == "/" {
				t.Fatalf("%+v, %v", m, err)
			}
			has(t, inner, "")
		})
	})
}
