// SPDX-License-Identifier: Apache-2.0

package resctrl

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// class makes the directory of the class and reports whether it existed. Without schemata
// it must exist. A class with a name of its own is claimed, because whoever made it may
// undo that.
func (g *Group) class(dir string, s *specs.LinuxIntelRdt) (existed bool, err error) {
	if s.ClosID == "" {
		err = os.Mkdir(dir, 0o755)
		if err == nil {
			g.Made = []string{dir}
		}
		return errors.Is(err, os.ErrExist), ignore(err, os.ErrExist)
	}
	const tries = 50 // another may undo it between our mkdir and our claim
	for range tries {
		if existed = len(lines(s)) == 0; !existed {
			err = os.Mkdir(dir, 0o755)
			if existed = errors.Is(err, os.ErrExist); err != nil && !existed {
				return false, err
			}
		}
		if g.claim, err = claim(dir); !errors.Is(err, os.ErrNotExist) || len(lines(s)) == 0 {
			break
		}
	}
	if err == nil && !existed {
		g.fresh = dir
	}
	return existed, err
}

// claim locks a class, shared with others that are about to join it. It waits for who is
// removing the class, which takes the kernel a moment: nobody waits for anything else with
// that lock, and it ends with its holder. ErrNotExist: the class is not there, or no more.
func claim(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = sys.Control(f, func(fd int) error {
		return sys.Retry(func() error { return os.NewSyscallError("flock", unix.Flock(fd, unix.LOCK_SH)) })
	})
	if err == nil {
		err = stillAt(f, dir)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("claim class %s: %w", dir, err)
	}
	return f, nil
}

// stillAt returns ErrNotExist if dir is no longer the directory f.
func stillAt(f *os.File, dir string) error {
	open, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(dir)
	if err == nil && !os.SameFile(open, now) {
		err = os.ErrNotExist
	}
	return err
}

// Joined ends the claim: init is in the group, so that nobody else removes the class.
func (g *Group) Joined() {
	if g != nil && g.claim != nil {
		_ = g.claim.Close() // unlocks it; nothing was written
		g.claim = nil
	}
}

// Undo is Remove for a container whose creation failed. It also removes a class with a name
// of its own that Make made, unless others are in it or about to join it.
func (g *Group) Undo() error {
	if g == nil {
		return nil
	}
	defer g.Joined()
	err := g.removeMade()
	if g.fresh != "" && err == nil {
		err = g.removeClass()
		g.fresh = ""
	}
	return err
}

func (g *Group) removeClass() error {
	err := sys.Control(g.claim, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	tasks, err := os.ReadFile(filepath.Join(g.fresh, "tasks"))
	if ignore(err, os.ErrNotExist) != nil || len(bytes.TrimSpace(tasks)) > 0 {
		return err
	}
	groups, err := os.ReadDir(filepath.Join(g.fresh, "mon_groups"))
	if len(groups) > 0 || ignore(err, os.ErrNotExist) != nil {
		return err
	}
	return ignore(unix.Rmdir(g.fresh), unix.ENOENT)
}

// ignore returns err, or nil if it is of that kind.
func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}
