// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const memoryEvents = "memory.events"

// OOMKills returns the number of processes in the group and below it that the kernel has
// killed for want of memory (memory.events, oom_kill), without those before Create. It is
// 0 without the memory controller. Call it after the exit of a process and before
// announcing that: the kernel counts before it kills.
//
// systemd removes the cgroup of a scope as soon as it is empty, which may be before
// the count is read. The number is then inferred from the count of the group above, and
// sure is false, because a kill in a group beside this one may be among them. If the
// kernel's log has more kills in this group than its count had, that is the number, and
// sure is true.
func (g *Group) OOMKills() (kills uint64, sure bool, err error) {
	if g.above != nil {
		return g.above.kills(g)
	}
	kills, err = oomKills(g.dir)
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return max(kills, g.earlier) - g.earlier, true, err
}

func oomKills(dir *os.File) (uint64, error) {
	data, err := readFile(dir, memoryEvents)
	return flatKey(string(data), "oom_kill"), err
}

// above is the group above one that somebody else removes. Its count includes the counts
// of the groups below it.
type above struct {
	dir *os.File // O_PATH

	mu      sync.Mutex
	seen    bool   // guarded by mu; others is known
	others  uint64 // guarded by mu; kills in other groups, when this one was last there
	counted uint64 // guarded by mu; kills in this one, likewise
	lines   uint64 // guarded by mu; kills in this one that are in the log
	log     *killLog
}

// openAbove opens the group above, for OOMKills.
func (g *Group) openAbove() error {
	dir, err := openDir(g.dir, "..")
	if err != nil {
		return err
	}
	g.above = &above{dir: dir, log: openKillLog()}
	_, _, err = g.above.kills(g)
	return err
}

func (a *above) kills(g *Group) (kills uint64, sure bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		kills, err = oomKills(g.dir)
		total, errAbove := oomKills(a.dir)
		switch {
		case err == nil && errAbove != nil: // the root has no such file
			return kills, true, nil
		case gone(err) && (errAbove != nil || !a.seen): // or there is no memory controller
			return 0, true, nil
		case gone(err):
			if a.lines += a.log.kills(g.path); a.lines > a.counted {
				return a.lines, true, nil
			}
			return max(total, a.others) - a.others, false, nil
		case err != nil:
			return 0, true, err
		}
		if again, err := oomKills(g.dir); err != nil || again != kills {
			continue
		}
		a.seen, a.others, a.counted = true, max(total, kills)-kills, kills
		return kills, true, nil
	}
}

// WatchOOM calls f, from one goroutine, each time that memory.events changed,
// until stop. Without the memory controller it never does. Each WatchOOM needs its stop.
// Changes that follow each other closely are one call. stop waits for a running call of f,
// may be called more than once, and must not be called by f.
func (g *Group) WatchOOM(f func()) (stop func(), err error) {
	w, err := newWatch(g.dir, memoryEvents)
	if errors.Is(err, unix.ENOENT) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	last, err := w.read()
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait := time.Duration(0); w.change(context.Background(), wait) == nil; {
			text, err := w.read()
			if err != nil {
				return // the group is gone
			}
			wait = g.nextLook(wait, text != last)
			last = text
			f()
		}
	}()
	return sync.OnceFunc(func() {
		w.Close()
		<-done
	}), nil
}

// nextLook returns how long to wait for the next announcement before the file is read
// without one; 0 means for ever. The kernel announces at most one change in 10 ms
// (CGROUP_FILE_NOTIFY_MIN_INTV), and a kill follows other events closely. The group may be
// gone when the kernel announces it.
func (g *Group) nextLook(wait time.Duration, changed bool) time.Duration {
	switch {
	case g.above == nil:
		return 0
	case changed:
		return time.Millisecond
	case wait >= 8*time.Millisecond:
		return 0
	}
	return 2 * wait
}
