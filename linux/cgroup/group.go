// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Group is one container's cgroup. It is safe for concurrent use (doc.go names the
// locks), and holds descriptors until Close or Delete.
type Group struct {
	// read only after Create or Open
	h    *Hierarchy
	path string
	dir  *os.File // O_PATH
	// above is nil unless somebody else removes the group.
	above *above
	// earlier is the number of OOM kills that were counted before this container.
	earlier uint64

	mu     sync.Mutex // Apply, Update and Close
	filter filter     // guarded by mu
	asked  asked      // guarded by mu

	slots   slots   // has its own lock
	stat    stat    // has its own lock
	freezer freezer // has its own lock
}

// Dir returns the cgroup's directory (O_PATH, close-on-exec), for
// CLONE_INTO_CGROUP. The Group closes it in Close or Delete.
func (g *Group) Dir() *os.File { return g.dir }

// Path returns the cgroup's path below the cgroup2 mount, which a Record keeps and
// Hierarchy.Open takes. /proc/PID/cgroup shows another path if that mount's root is not
// the root of the hierarchy.
func (g *Group) Path() string { return g.path }

// Inode returns the number of the group's directory. The kernel gives no other group
// the same number while it runs, so it tells a group from a later one at the same path.
func (g *Group) Inode() (uint64, error) {
	var st unix.Stat_t
	if err := withFd(g.dir, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return 0, &os.PathError{Op: "fstat", Path: g.path, Err: err}
	}
	return st.Ino, nil
}

// controllers returns the controllers that the group has now.
func (g *Group) controllers() (Controllers, error) {
	data, err := readFile(g.dir, "cgroup.controllers")
	return parseControllers(string(data)), err
}

// Read returns the contents of one of the group's files.
func (g *Group) Read(file string) (string, error) {
	data, err := readFile(g.dir, file)
	return string(data), err
}

// Write writes to one of the group's files.
func (g *Group) Write(file, text string) error { return writeFile(g.dir, file, text) }

// Close closes the descriptors and leaves the cgroup alone. It may be
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

// Pids lists the processes in the group and in all groups below it, including slots and
// what the container made by itself, in no order. It leaves out processes outside the
// shim's pid namespace.
func (g *Group) Pids() ([]int, error) { return pids(g.dir) }

// Populated reports whether a process is in the group or below it.
func (g *Group) Populated() (bool, error) {
	data, err := readFile(g.dir, "cgroup.events")
	return flatKey(string(data), "populated") == 1, err
}

// Kill sends SIGKILL to every process in the group and below it in one step
// that no fork outruns (cgroup.kill, kernel 5.14). It works on a frozen group
// as well. It does not wait.
func (g *Group) Kill() error { return writeFile(g.dir, "cgroup.kill", "1") }

// Has reports whether a process is in the group or below it now. ENOENT or ESRCH: the
// process has ended.
func (g *Group) Has(pid int) (bool, error) {
	at, err := g.h.pathOf(strconv.Itoa(pid))
	if err != nil {
		return false, err
	}
	return at == g.path || strings.HasPrefix(at, g.path+"/"), nil
}

// WaitEmpty waits until no process is in the group or below it. Zombies do not
// count. A removed group is empty.
func (g *Group) WaitEmpty(ctx context.Context) error {
	err := waitFor(ctx, g.dir, "populated", 0)
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for cgroup %s to be empty: %w", g.path, err)
	}
	return nil
}
