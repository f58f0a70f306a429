// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// CgroupRoot is where this process sees the cgroup2 hierarchy: /sys/fs/cgroup,
// or on a host with v1 controllers as well another directory, as
// /sys/fs/cgroup/unified.
func CgroupRoot() (string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		before, after, _ := strings.Cut(line, " - ")
		if f := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(f) > 4 {
			return f[4], nil
		}
	}
	return "", fmt.Errorf("cgroup2: not mounted")
}

var cgroups atomic.Int64

// runEnv names the run of a package's tests in the processes that it starts.
const runEnv = "MINI_TEST_RUN"

// run is the pid of the first process of this run of a package's tests. go test
// runs packages side by side: what the one makes is no leak of the other.
var run = sync.OnceValue(func() string {
	if r := os.Getenv(runEnv); r != "" {
		return r
	}
	r := strconv.Itoa(os.Getpid())
	_ = os.Setenv(runEnv, r) // fails only for a bad name
	return r
})

// CgroupPrefix is how the names of all cgroups begin that Cgroup makes in this
// run of the package's tests, subprocesses included, and in no other run.
func CgroupPrefix() string { return "mini-test-" + run() + "-" }

// Cgroup makes a cgroup2 directory of the test's own, called CgroupPrefix, the
// pid and a number, and returns its path. At the end of the test everything in
// and below it is killed and removed.
func Cgroup(t testing.TB) string {
	t.Helper()
	root, err := CgroupRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, fmt.Sprintf("%s%d-%d", CgroupPrefix(), os.Getpid(), cgroups.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := RemoveCgroup(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// RemoveCgroup kills every process in and below the cgroup2 directory and
// removes it with everything below. A directory that is not there is no error.
func RemoveCgroup(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return err
	}
	for end := time.Now().Add(Patience(5 * time.Second)); ; time.Sleep(5 * time.Millisecond) {
		err := removeTree(dir)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// removeTree removes cgroup directories depth first; the files in them go by
// themselves.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// InKilledCgroup moves this process into a cgroup of its own on which cgroup.kill
// was used before, and back at the end of the test: on kernels that count those
// uses (6.14) a child that it clones into another cgroup is killed at its birth.
// Precondition: the process is the test's own (Subprocess).
func InKilledCgroup(t *testing.T) {
	t.Helper()
	root, err := CgroupRoot()
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, home, _ := strings.Cut(string(own), "0::")
	home, _, _ = strings.Cut(home, "\n")
	dir := Cgroup(t)
	enter := func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	enter(dir)
	t.Cleanup(func() { enter(filepath.Join(root, home)) })
}

// CountsKills reports whether the kernel is one that counts the uses of cgroup.kill,
// as all do since 6.14; earlier ones may have got that as a fix.
func CountsKills(t testing.TB) bool {
	t.Helper()
	return KernelSince(t, 6, 14)
}
