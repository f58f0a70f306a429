// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
)

// grace is how long Leftovers waits for what is going away by itself: after
// the last Delete a shim still has to be told to shut down, and to do so; one that
// is not told, as its container's create hung, ends by itself after five seconds.
const grace = 10 * time.Second

// Leftovers lists what containers and shims have left: processes but
// containerd, mounts, cgroups, sockets of shims, and bundles, as a line of
// text each, without those that ignore says are known. It waits a while for
// the list to become empty.
func (d *Daemon) Leftovers(ignore func(line string) bool) ([]string, error) {
	for end := time.Now().Add(testenv.Patience(grace)); ; time.Sleep(10 * time.Millisecond) {
		left, err := d.leftovers()
		left = slices.DeleteFunc(left, ignore)
		if err != nil || len(left) == 0 || time.Now().After(end) {
			return left, err
		}
	}
}

func (d *Daemon) leftovers() ([]string, error) {
	left, err := d.processes()
	if err != nil {
		return nil, err
	}
	now, err := MountPoints()
	if err != nil {
		return nil, err
	}
	for m := range now {
		if !d.mounts[m] {
			left = append(left, "mount "+m)
		}
	}
	groups, err := Cgroups()
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		// What runc leaves is the parent of its containers' cgroups.
		if g != "/leaf" && g != "/"+Namespace {
			left = append(left, "cgroup "+g)
		}
	}
	if Scopes() && len(left) == 0 {
		if left, err = units(); err != nil {
			return nil, err
		}
	}
	for _, pattern := range []string{
		d.SocketDir() + "/*",
		d.path("state/io.containerd.runtime.v2.task/*/*"), // of every namespace
		d.path("root/io.containerd.runtime.v2.task/*/*"),
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			left = append(left, "file "+f)
		}
	}
	return left, nil
}

// processes lists every process of the bed but init, this one with its
// children, and containerd.
func (d *Daemon) processes() ([]string, error) {
	known := []int{1, os.Getpid()}
	select {
	case <-d.exited:
	default:
		known = append(known, d.Pid())
	}
	if d.other != nil {
		known = append(known, d.other.Pid())
	}
	var lines []string
	all, err := Processes()
	for _, p := range all {
		if slices.Contains(known, p.Pid) || p.Parent == os.Getpid() {
			continue
		}
		lines = append(lines, fmt.Sprintf("process %d %s", p.Pid, p.Args))
	}
	return lines, err
}

// Process is a process of the bed, as /proc shows it.
type Process struct {
	Pid, Parent int
	State       byte
	Args        string
}

// Processes lists every process of the bed.
func Processes() ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !ours(e.Name()) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil { // it is gone
			continue
		}
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		fields := strings.Fields(string(stat[end+1:]))
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		text := strings.TrimSpace(string(bytes.ReplaceAll(args, []byte{0}, []byte{' '})))
		if text == "" {
			text = string(stat[open : end+1])
		}
		all = append(all, Process{Pid: pid, Parent: parent, State: fields[0][0], Args: text})
	}
	return all, nil
}

// MountPoints is the set of the bed's mounts, by id and place.
func MountPoints() (map[string]bool, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 {
			all[f[0]+" "+f[4]] = true
		}
	}
	return all, nil
}

// Cgroups lists the cgroups of the bed but the root, as paths from it.
func Cgroups() ([]string, error) {
	const root = "/sys/fs/cgroup"
	var all []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err): // removed while we walk
			return nil
		case err != nil:
			return err
		case e.IsDir() && path != root && (!Scopes() || scope.MatchString(path[len(root):])):
			all = append(all, strings.TrimPrefix(path, root))
		}
		return nil
	})
	return all, err
}

// Purge ends and removes what Leftovers lists, so that the next test starts
// from nothing.
func (d *Daemon) Purge() error {
	all, err := Processes()
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Pid != 1 && p.Pid != os.Getpid() && p.Parent != os.Getpid() {
			_ = syscall.Kill(p.Pid, syscall.SIGKILL) // it may be gone
		}
	}
	mounts, err := MountPoints()
	if err != nil {
		return err
	}
	for m := range mounts {
		if _, place, _ := strings.Cut(m, " "); !d.mounts[m] {
			_ = syscall.Unmount(place, syscall.MNT_DETACH) // a parent may have taken it along
		}
	}
	groups, err := Cgroups()
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g != "/leaf" && !strings.HasPrefix(g, "/leaf/") {
			if err := testenv.RemoveCgroup(filepath.Join("/sys/fs/cgroup", g)); err != nil {
				return err
			}
		}
	}
	for _, dir := range []string{d.SocketDir(), d.StateDir(), d.path("root/io.containerd.runtime.v2.task/" + Namespace)} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
