// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leakGrace is how long a check waits for what is going away by itself: an
// exit that is being reaped, a cgroup whose last process is a zombie.
const leakGrace = 2 * time.Second

// NoLeaks fails the test if, when it and its later clean-ups are over, this
// process has a file descriptor, a child or a mount that it did not have at the
// call, or one of the cgroup2 directories whose name begins with a prefix in
// cgroups is new. It is not for parallel tests.
func NoLeaks(t testing.TB, cgroups ...string) {
	t.Helper()
	before, err := snapshot(cgroups)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		leaks, err := before.leaks(Patience(leakGrace))
		if err != nil {
			t.Error(err)
		}
		for _, l := range leaks {
			t.Errorf("left behind: %s", l)
		}
	})
}

// Main runs the tests of a package as NoLeaks does one of them, for TestMain,
// and returns the exit code. In a Subprocess it only runs them: what that one
// holds ends with it and its namespaces, and its body calls NoLeaks.
func Main(m *testing.M, cgroups ...string) int {
	if InSubprocess() {
		return m.Run()
	}
	before, err := snapshot(cgroups)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		return 1
	}
	code := m.Run()
	leaks, err := before.leaks(Patience(leakGrace))
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		return 1
	}
	for _, l := range leaks {
		fmt.Fprintln(os.Stderr, "testenv: left behind by the package:", l)
		code = 1
	}
	return code
}

// state is what a process holds of the kernel's objects, each as a line of
// text that is the same as long as the object is.
type state struct {
	cgroups []string
	objects map[string]bool
}

func snapshot(cgroups []string) (*state, error) {
	if err := wakePoller(); err != nil {
		return nil, err
	}
	s := &state{cgroups: cgroups, objects: map[string]bool{}}
	for _, list := range []func() ([]string, error){
		openFiles, Children, mounts, func() ([]string, error) { return cgroupDirs(cgroups) },
	} {
		objects, err := list()
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			s.objects[o] = true
		}
	}
	return s, nil
}

// leaks lists what exists after the grace and did not in s.
func (s *state) leaks(grace time.Duration) ([]string, error) {
	for end := time.Now().Add(grace); ; time.Sleep(10 * time.Millisecond) {
		now, err := snapshot(s.cgroups)
		if err != nil {
			return nil, err
		}
		var leaks []string
		for o := range now.objects {
			if !s.objects[o] {
				leaks = append(leaks, o)
			}
		}
		if len(leaks) == 0 || time.Now().After(end) {
			slices.Sort(leaks)
			return leaks, nil
		}
	}
}

// wakePoller makes the Go runtime open its epoll and eventfd descriptors,
// which it would otherwise do at some time during the test.
func wakePoller() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	return r.Close()
}

func openFiles() ([]string, error) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil { // the descriptor of the listing itself
			continue
		}
		lines = append(lines, fmt.Sprintf("fd %s: %s", e.Name(), target))
	}
	return lines, nil
}

// Children lists the child processes of this process, zombies included, one
// "child PID: NAME" each.
func Children() ([]string, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	self := strconv.Itoa(os.Getpid())
	var lines []string
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil { // it has exited
			continue
		}
		// pid (name) state ppid: the name may hold anything but the last ')'.
		open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
		fields := strings.Fields(string(data[end+1:]))
		if len(fields) > 1 && fields[1] == self {
			lines = append(lines, fmt.Sprintf("child %s: %s", bytes.TrimSpace(data[:open]), data[open+1:end]))
		}
	}
	return lines, nil
}

func mounts() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		// ID parent dev root mountpoint ...
		if f := strings.Fields(line); len(f) > 4 {
			lines = append(lines, fmt.Sprintf("mount %s on %s", f[0], f[4]))
		}
	}
	return lines, nil
}

// cgroupDirs lists every directory of the cgroup2 hierarchy whose own or
// an ancestor's name begins with one of the prefixes.
func cgroupDirs(prefixes []string) ([]string, error) {
	if len(prefixes) == 0 {
		return nil, nil
	}
	root, err := CgroupRoot()
	if err != nil {
		return nil, err
	}
	var lines []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil { // removed while we walked
			return nil
		}
		if !d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for part := range strings.SplitSeq(rel, "/") {
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(part, p) }) {
				lines = append(lines, "cgroup "+path)
				break
			}
		}
		return nil
	})
	return lines, err
}
