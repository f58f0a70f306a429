// SPDX-License-Identifier: Apache-2.0

package resctrl

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// class makes the directory of the class, unless it is there: one without schemata
// has to be. A class with a name of its own is claimed: whoever made it may have to
// take it back.
func (g *Group) class(dir string, s *specs.LinuxIntelRdt) (existed bool, err error) {
	if s.ClosID == "" {
		err = os.Mkdir(dir, 0o755)
		if err == nil {
			g.Made = []string{dir}
		}
		return errors.Is(err, os.ErrExist), ignore(err, os.ErrExist)
	}
	const tries = 50 // it may be taken back between two steps
	for i := range tries {
		time.Sleep(time.Duration(min(i, 1)) * time.Millisecond)
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

// claim locks a class, shared with others who are about to join it. The error is
// ErrNotExist if it is not there, or not there any more.
func claim(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err = sys.Control(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) }); errors.Is(err, unix.EWOULDBLOCK) {
		err = os.ErrNotExist // it is being taken back
	}
	if err == nil {
		err = stillAt(f, dir)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("claim class %s: %w", dir, err)
	}
	return f, nil
}

// stillAt is ErrNotExist when another directory is in the place by now, or none.
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

// Joined says that init is in the group, where it keeps the class from being taken
// back.
func (g *Group) Joined() {
	if g != nil && g.claim != nil {
		_ = g.claim.Close() // unlocks it; nothing was written
		g.claim = nil
	}
}

// Undo is Remove for a container that did not come to be. A class that Make made,
// and that has a name of its own, goes as well, unless others are in it or about to
// join it.
func (g *Group) Undo() error {
	if g == nil {
		return nil
	}
	defer g.Joined()
	err := g.removeMade()
	if g.fresh != "" && err == nil {
		err = g.takeBack()
		g.fresh = ""
	}
	return err
}

func (g *Group) takeBack() error {
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

// ignore is err without one kind of it.
func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}
