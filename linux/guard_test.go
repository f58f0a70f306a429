// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/cgroup"
)

// TestRestoreAt: what somebody else writes to a file of a cgroup is undone, until the
// watch ends. memory.oom.group, for which it is, needs a controller: another file
// stands for it.
func TestRestoreAt(t *testing.T) {
	testenv.Root(t)
	const file, own = "cgroup.max.depth", "7"
	group := guardedGroup(t)
	watch, err := group.WatchWrites(file)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { restoreAt(watch, group, file, own); close(ended) }()
	holds := func(when, want string) {
		t.Helper()
		for end := time.Now().Add(testenv.Patience(10 * time.Second)); ; time.Sleep(time.Millisecond) {
			got, err := group.Read(file)
			if err == nil && got == want+"\n" {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %q, %v", when, got, err)
			}
		}
	}
	holds("at first", own)
	for _, other := range []string{"max", "8", "7", "9"} {
		if err := group.Write(file, other); err != nil {
			t.Fatal(err)
		}
		holds("after "+other, own)
	}
	if err := watch.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := group.Write(file, "3"); err != nil {
		t.Fatal(err)
	}
	holds("unwatched", "3")
}

// guardedGroup makes a cgroup for a test of guards.
func guardedGroup(t *testing.T) *cgroup.Group {
	t.Helper()
	testenv.Root(t)
	h, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	base, err := filepath.Rel(h.Mountpoint, testenv.Cgroup(t))
	if err != nil {
		t.Fatal(err)
	}
	group, err := h.Create("/"+base+"/c", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := group.Delete(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return group
}

// TestGuardLetsChangesBe: a change of the file that the guard keeps is not undone while it
// is made, and is kept then; a change that fails leaves what was kept.
func TestGuardLetsChangesBe(t *testing.T) {
	group := guardedGroup(t)
	g := &guard{policy: "max", file: "cgroup.max.depth"}
	defer g.end()
	holds := func(want string) bool {
		for range 50 { // a guard needs less than one of these
			time.Sleep(time.Millisecond)
			if text, err := group.Read(g.file); err != nil || text != want+"\n" {
				t.Logf("%q, %v", text, err)
				return false
			}
		}
		return true
	}
	fails := errors.New("it fails")
	for _, c := range []struct {
		write string
		err   error
		kept  string
	}{
		{"7", nil, "7"}, {"5", nil, "5"}, {"4", fails, "5"}, {"max", nil, "max"}, {"6", nil, "6"},
	} {
		kept, err := g.change(group, func() error {
			if err := group.Write(g.file, c.write); err != nil {
				return err
			}
			if !holds(c.write) {
				t.Errorf("%s is undone while it is made", c.write)
			}
			return c.err
		})
		if kept != nil || !errors.Is(err, c.err) {
			t.Fatalf("%+v: %v, %v", c, kept, err)
		}
		for end := time.Now().Add(testenv.Patience(10 * time.Second)); ; time.Sleep(time.Millisecond) {
			text, err := group.Read(g.file)
			if err == nil && text == c.kept+"\n" {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%+v: %q, %v", c, text, err)
			}
		}
	}
}

// TestGuardEnds: a guard that has ended, or was replaced, writes no more, even if it was
// about to.
func TestGuardEnds(t *testing.T) {
	group := guardedGroup(t)
	for i := range 20 {
		g := &guard{policy: "max", file: "cgroup.max.depth"}
		write := func(text string) {
			t.Helper()
			if err := group.Write(g.file, text); err != nil {
				t.Fatal(err)
			}
		}
		if kept, err := g.change(group, func() error { return group.Write(g.file, "7") }); kept != nil || err != nil {
			t.Fatal(kept, err)
		}
		write("8") // it wakes
		for start := time.Now(); time.Since(start) < time.Duration(i)*5*time.Microsecond; {
		}
		g.end()
		write("9")
		for range 3 {
			if text, err := group.Read(g.file); text != "9\n" || err != nil {
				t.Fatalf("time %d: %q, %v", i, text, err)
			}
			runtime.Gosched()
		}
	}
}
