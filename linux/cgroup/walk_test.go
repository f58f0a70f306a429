// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// nest makes a chain of groups with a name below dir, and returns the deepest. Their
// path may be longer than the kernel takes.
func nest(t *testing.T, dir *os.File, name string, depth int) *os.File {
	t.Helper()
	for i := range depth {
		err := mkdirat(dir, name)
		if err == nil {
			var next *os.File
			if next, err = openDir(dir, name); err == nil {
				if i > 0 {
					_ = dir.Close()
				}
				dir = next
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestDeepGroups: groups that are nested deeper than files may be open, and than a path
// may be long, are found and removed; errors about them stay short.
func TestDeepGroups(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, 0, deepGroups)
}

func deepGroups(t *testing.T) {
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/p/c")
	const depth = 300
	deepest := nest(t, g.Dir(), strings.Repeat("n", 30), depth)
	beside := nest(t, g.Dir(), "beside", 2)
	deep, other := into(t, deepest, "exec sleep 60"), into(t, beside, "exec sleep 60")
	if _, err := readFile(deepest, "no-such-file"); err == nil || len(err.Error()) > 2*longName {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
	_, _ = deepest.Close(), beside.Close()

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 64, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	list, err := g.Pids()
	if err != nil || len(list) != 2 || !slices.Contains(list, deep.Process.Pid) ||
		!slices.Contains(list, other.Process.Pid) {
		t.Errorf("pids %v, %v", list, err)
	}
	if err := errors.Join(g.Kill(), g.Delete(within(t))); err != nil {
		t.Errorf("delete: %.500v", err)
	}
	if exists(h, g.Path()) {
		t.Error("it is there still")
	}
}
