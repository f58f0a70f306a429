// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Group is one container's cgroup. Safe for concurrent use; doc.go names the
// locks. It holds descriptors until Close or Delete.
type Group struct {
	// read only after Create or Open
	h    *Hierarchy
	path string
	dir  *os.File // O_PATH
	// above is nil unless somebody else removes the group.
	above *above
	// earlier are the OOM kills of whom the group was made for before.
	earlier uint64

	mu     sync.Mutex // Apply, Update and Close
	filter filter     // guarded by mu
	asked  asked      // guarded by mu

	slots   slots   // has its own lock
	stat    stat    // has its own lock
	freezer freezer // has its own lock
}

// Dir is the cgroup's directory (O_PATH, close-on-exec), for
// CLONE_INTO_CGROUP. It belongs to the Group, until Close or Delete.
func (g *Group) Dir() *os.File { return g.dir }

// Path is the cgroup's path below the cgroup2 mount: what a Record keeps and
// Hierarchy.Open takes. /proc/PID/cgroup shows another where that mount's root is not
// the root of the hierarchy.
func (g *Group) Path() string { return g.path }

// Inode is the number of the group's directory. The kernel gives each group
// another one as long as it runs, so it tells a group from a later one at the same
// path.
func (g *Group) Inode() (uint64, error) {
	var st unix.Stat_t
	if err := withFd(g.dir, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return 0, &os.PathError{Op: "fstat", Path: g.path, Err: err}
	}
	return st.Ino, nil
}

// Controllers are those that the group has now.
func (g *Group) Controllers() (Controllers, error) {
	data, err := readFile(g.dir, "cgroup.controllers")
	return ParseControllers(string(data)), err
}

// Read returns what a file of the group's holds.
func (g *Group) Read(file string) (string, error) {
	data, err := readFile(g.dir, file)
	return string(data), err
}

// Write writes to a file of the group's.
func (g *Group) Write(file, text string) error { return writeFile(g.dir, file, text) }

// Close gives back the descriptors and leaves the cgroup alone. It may be
// called more than once, and after Delete.
func (g *Group) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots.close()
	err := errors.Join(g.stat.close(), g.filter.close())
	if g.above != nil {
		_ = g.above.dir.Close() // O_PATH: nothing can fail
		g.above.log.close()
	}
	if e := g.dir.Close(); !errors.Is(e, os.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// Pids lists the processes in the group and all groups below it, slots and what
// the container made by itself included, in no order. Processes outside the
// shim's pid namespace are left out.
func (g *Group) Pids() ([]int, error) { return pids(g.dir) }

// Populated tells whether a process is in the group or below it.
func (g *Group) Populated() (bool, error) {
	data, err := readFile(g.dir, "cgroup.events")
	return flatKey(string(data), "populated") == 1, err
}

// Kill sends SIGKILL to every process in the group and below it in one step
// that no fork outruns (cgroup.kill, kernel 5.14). It works on a frozen group
// as well. It does not wait.
func (g *Group) Kill() error { return writeFile(g.dir, "cgroup.kill", "1") }
