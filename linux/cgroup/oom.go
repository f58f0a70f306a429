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

// OOMKills is how many processes of the group and below it the kernel has
// killed for want of memory (memory.events, oom_kill). 0 without the memory
// controller. Those of before Create are left out. Read it after the exit of a process
// and before telling of it: the kernel counts before it kills.
//
// systemd removes the cgroup of a scope as soon as it is empty, which may be before
// it is read. Then the number is reckoned from the count of the group above, and
// sure is false, as a kill in a group beside this one may be among them; unless the
// kernel's log has more of this group than were counted in it.
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

// above is the group above one that somebody else removes. Its count has that of
// the groups below in it.
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
// until stop; without the memory controller, never. Each WatchOOM needs its stop.
// Changes that follow each other closely are one call. stop waits for a call
// that is under way, may be called more than once, and must not be called by f.
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

// nextLook is how long to wait for the next announcement before a look without
// one; 0 is without end. The kernel announces at most one change in 10 ms
// (CGROUP_FILE_NOTIFY_MIN_INTV), and a kill follows other events closely: of a
// group that may be gone by then, it is looked for.
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
