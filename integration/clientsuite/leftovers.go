// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// Of the suite: where its daemon has its files, and where containerd's shims
// and runc have theirs.
const (
	stateDir   = "/run/containerd-test"
	rootDir    = "/var/lib/containerd-test"
	socketDir  = "/run/containerd/s"
	runcDir    = "/run/containerd/runc"
	cgroupRoot = "/sys/fs/cgroup"

	// testCgroup is made and removed by TestShimInCgroup. It gives up where the
	// shim, which has been told to shut down, has not gone yet; a shim that did
	// not go at all is left over as a process.
	testCgroup = "/containerd/shim"
)

// settle is how long what the last test started may take to go: its daemon is
// stopped, and so are its shims.
const settle = 3 * time.Second

// kinds of what may be left, the first word of a line each.
var kinds = []string{"process", "socket", "bundle", "mount", "cgroup"}

// clean takes note of what a run of the test binary has left, keeps the
// daemon's log, and removes all of it.
func (s *testSuite) clean() error {
	left, err := s.leftovers()
	for end := time.Now().Add(testenv.Patience(settle)); err == nil && len(left) > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		left, err = s.leftovers()
	}
	if err != nil {
		return err
	}
	s.left = append(s.left, left...)
	return errors.Join(keepLog(), s.purge())
}

// leftovers lists what is there now and was not before the first test.
func (s *testSuite) leftovers() ([]string, error) {
	var left []string
	processes, err := others()
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		left = append(left, fmt.Sprintf("process %d %s", p.Pid, p.Args))
	}
	mounts, err := bed.MountPoints()
	if err != nil {
		return nil, err
	}
	for m := range mounts {
		if !s.mounts[m] {
			left = append(left, "mount "+m)
		}
	}
	groups, err := bed.Cgroups()
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		// The parents of the containers' cgroups stay, called as the
		// containerd namespaces; runc leaves them too.
		if strings.Count(g, "/") > 1 && g != testCgroup {
			left = append(left, "cgroup "+g)
		}
	}
	sockets, err := socketsBelow(socketDir)
	for _, pattern := range []string{stateDir + "/io.containerd.runtime.v2.task/*/*", runcDir + "/*/*"} {
		bundles, _ := filepath.Glob(pattern) // the pattern is well formed
		for _, b := range bundles {
			left = append(left, "bundle "+b)
		}
	}
	return append(left, sockets...), err
}

// others are the processes but init and this one.
func others() ([]bed.Process, error) {
	all, err := bed.Processes()
	return slices.DeleteFunc(all, func(p bed.Process) bool { return p.Pid == 1 || p.Pid == os.Getpid() }), err
}

func socketsBelow(dir string) ([]string, error) {
	var left []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && e.Type() == fs.ModeSocket {
			left = append(left, "socket "+path)
		}
		return err
	})
	return left, err
}

// keepLog appends the logs of the daemon to ours. The suite writes them to
// nameless temporary files.
func keepLog() error {
	log, err := os.OpenFile(logDir+"/daemon.txt", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	files, _ := filepath.Glob("/tmp/[0-9]*") // the pattern is well formed
	for _, name := range files {
		data, err := os.ReadFile(name)
		if errors.Is(err, syscall.EISDIR) {
			continue
		}
		if err != nil {
			return err
		}
		if _, err := log.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// purge ends and removes everything that a run has left, so that the next one
// starts from nothing.
func (s *testSuite) purge() error {
	for end := time.Now().Add(testenv.Patience(settle)); ; time.Sleep(10 * time.Millisecond) {
		processes, err := others()
		if err != nil {
			return err
		}
		if len(processes) == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("process %d %s: does not end", processes[0].Pid, processes[0].Args)
		}
		for _, p := range processes {
			_ = syscall.Kill(p.Pid, syscall.SIGKILL) // it may be gone
		}
	}
	mounts, err := bed.MountPoints()
	if err != nil {
		return err
	}
	for m := range mounts {
		if _, place, _ := strings.Cut(m, " "); !s.mounts[m] {
			_ = syscall.Unmount(place, syscall.MNT_DETACH) // it may be gone with a parent
		}
	}
	groups, err := filepath.Glob(cgroupRoot + "/*/")
	if err != nil {
		return err
	}
	for _, g := range groups {
		if filepath.Base(g) != "leaf" { // where we are
			err = errors.Join(err, testenv.RemoveCgroup(g))
		}
	}
	for _, dir := range []string{stateDir, rootDir, socketDir, runcDir} {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	files, _ := filepath.Glob("/tmp/*") // the pattern is well formed
	for _, name := range files {
		err = errors.Join(err, os.RemoveAll(name))
	}
	return err
}
