// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestRestoreAt: what somebody else writes to a file of a cgroup is undone, until the
// watch ends. memory.oom.group, for which it is, needs a controller: another file
// stands for it.
func TestRestoreAt(t *testing.T) {
	testenv.Root(t)
	h, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	const file, own = "cgroup.max.depth", "7"
	base, err := filepath.Rel(h.Mountpoint, testenv.Cgroup(t))
	if err != nil {
		t.Fatal(err)
	}
	group, err := h.Create("/"+base+"/c", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := group.Delete(context.Background()); err != nil {
			t.Error(err)
		}
	}()
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
