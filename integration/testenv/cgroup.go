// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// Cgroup makes a cgroup2 directory of the test's own, called
// mini-test-PID-N, and returns its path. At the end of the test everything in
// and below it is killed and removed.
func Cgroup(t testing.TB) string {
	t.Helper()
	root, err := CgroupRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, fmt.Sprintf("mini-test-%d-%d", os.Getpid(), cgroups.Add(1)))
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
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
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
