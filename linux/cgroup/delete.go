// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Delete kills what is in the group, waits until it is empty, removes it with
// all groups below it and those parents that mini made and that are empty, and
// closes the Group. Its device filter ends with it. Delete tries until it is done
// or ctx ends. In that case the group still exists and is open, and Delete may be called
// again. It is no error if the group is gone. What somebody else has made in its place
// stays.
func (g *Group) Delete(ctx context.Context) error {
	for rest := time.Duration(0); ; rest = min(2*rest+time.Millisecond, longestRest) {
		err := g.remove()
		if err == nil {
			return g.Close()
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("remove cgroup %s: %w: %w", g.path, ctx.Err(), err)
		}
		if err := g.Kill(); err != nil && !gone(err) {
			return err
		}
		if err := g.waitAWhile(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
	}
}

// longestRest bounds the time between two tries at a group that has no processes and yet
// cannot be removed, because something is mounted on it.
const longestRest = 100 * time.Millisecond

// waitAWhile waits until the group is empty, or for killAgain: a process may have joined
// during the kill, or an announcement may be lost.
func (g *Group) waitAWhile(ctx context.Context) error {
	turn, cancel := context.WithTimeout(ctx, killAgain)
	defer cancel()
	err := g.WaitEmpty(turn)
	if turn.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// killAgain bounds the wait for killed processes before Delete kills once more.
const killAgain = time.Second

// remove removes the empty group, the empty groups below it and the parents
// that became empty. EBUSY: it has processes.
func (g *Group) remove() error {
	parent, err := g.parent()
	switch {
	case gone(err): // its parents may be there
		return g.h.removeParents(path.Dir(g.path))
	case errors.Is(err, os.ErrClosed):
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	name := path.Base(g.path)
	err = rmdir(parent, name)
	if errors.Is(err, unix.EBUSY) {
		if err = removeBelow(g.dir); err == nil {
			err = rmdir(parent, name)
		}
	}
	if err != nil {
		return err
	}
	return g.h.removeParents(path.Dir(g.path))
}

// parent opens the directory that the group is in. ENOENT: the group was removed. It still
// knows the directory, but another group may have its name there by now.
func (g *Group) parent() (*os.File, error) {
	const file = "cgroup.procs" // each group has it until it is removed
	err := withFd(g.dir, func(fd int) error { return unix.Faccessat(fd, file, unix.F_OK, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "access", Path: human(g.dir, file), Err: err}
	}
	return openDir(g.dir, "..")
}

// removeBelow removes all groups below dir, the deepest first.
func removeBelow(dir *os.File) error {
	w := walker{
		into: func(parent *os.File, name string) (bool, error) {
			err := rmdir(parent, name)
			if errors.Is(err, unix.EBUSY) {
				return true, nil
			}
			return false, err
		},
		out: rmdir,
	}
	return w.below(dir)
}

// removeParents removes the groups from path upwards as long as they are empty
// and bear madeMark, or do not exist. It stops at one that has another shim's container.
// That shim removes the parent in its turn.
func (h *Hierarchy) removeParents(path string) error {
	for name := strings.TrimPrefix(path, "/"); name != ""; name = name[:max(strings.LastIndexByte(name, '/'), 0)] {
		switch marked, err := h.marked(name); {
		case gone(err):
			continue
		case err != nil || !marked:
			return err
		}
		if err := rmdir(h.dir, name); errors.Is(err, unix.EBUSY) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (h *Hierarchy) marked(name string) (bool, error) {
	f, err := open(h.dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = unix.Fgetxattr(int(f.Fd()), madeMark, nil)
	return err == nil, nil
}

// rmdir removes a group; one that is not there is no error. EBUSY: it has
// processes or groups in it.
