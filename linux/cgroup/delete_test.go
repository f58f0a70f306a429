// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestDeleteOfWhatIsGone: somebody has removed the group, and somebody made another
// one at its path, which is not ours to remove, or to wait for.
func TestDeleteOfWhatIsGone(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	lost := func() *Group {
		g := newGroup(t, h, base+"/p/c")
		if err := os.Remove(filepath.Join(h.Mountpoint, g.Path())); err != nil {
			t.Fatal(err)
		}
		return g
	}
	a, b, c := lost(), lost(), lost()
	other := newGroup(t, h, base+"/p/c")
	if err := errors.Join(a.Delete(within(t)), b.RemoveEmpty()); err != nil || !exists(h, other.Path()) {
		t.Errorf("another group, empty: there %v, %v", exists(h, other.Path()), err)
	}
	cmd := into(t, other.Dir(), "exec sleep 60")
	if err := c.Delete(within(t)); err != nil || cmd.Process.Signal(unix.Signal(0)) != nil {
		t.Errorf("another group, with a process: %v", err)
	}
	if ok, err := other.Populated(); !ok || err != nil {
		t.Errorf("another group's process: %v, %v", ok, err)
	}
}

// TestDeleteOfWhatIsGoneTakesItsParents: of a group that somebody has removed what was
// made for it remains.
func TestDeleteOfWhatIsGoneTakesItsParents(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	for _, remove := range []func(*Group) error{
		func(g *Group) error { return g.Delete(within(t)) },
		(*Group).RemoveEmpty,
	} {
		g := newGroup(t, h, base+"/p/q/c")
		if err := os.Remove(filepath.Join(h.Mountpoint, g.Path())); err != nil {
			t.Fatal(err)
		}
		if err := remove(g); err != nil || exists(h, base+"/p") || !exists(h, base) {
			t.Errorf("p is there: %v, %v", exists(h, base+"/p"), err)
		}
	}
}

// TestDeleteLooksAgain: a process that came in behind the kill does not hold the
// removal up until somebody gives up.
func TestDeleteLooksAgain(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	into(t, g.Dir(), "exec sleep 60")
	if err := g.waitAWhile(within(t)); err != nil {
		t.Errorf("with a process: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.waitAWhile(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestDeleteOfABusyGroup: what cannot be removed for a reason of its own is tried
// again, but not all the time.
func TestDeleteOfABusyGroup(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNS, func(t *testing.T) {
		h := openHierarchy(t)
		g := newGroup(t, h, testBase(t, h)+"/c")
		dir := filepath.Join(h.Mountpoint, g.Path())
		if err := unix.Mount("busy", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		const long = time.Second
		ctx, cancel := context.WithTimeout(context.Background(), long)
		defer cancel()
		before := reads(t)
		err := g.Delete(ctx)
		if !errors.Is(err, unix.EBUSY) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("something is mounted on it: %v", err)
		}
		if n := reads(t) - before; n > 80 { // two for each of 16 tries
			t.Errorf("%d reads in %v", n, long)
		}
		time.AfterFunc(10*time.Millisecond, func() { _ = unix.Unmount(dir, 0) })
		if err := g.Delete(within(t)); err != nil || exists(h, g.Path()) {
			t.Errorf("after the mount: %v", err)
		}
	})
}

// reads is how many read calls the process has made.
func reads(t *testing.T) (n int) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(data), "syscr: ")
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
