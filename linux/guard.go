// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
)

// guard keeps memory.oom.group of a scope as it was asked for, where systemd has
// another value for it, which an update cannot change: systemd writes its own
// whenever it writes any limit of the memory, as at a daemon-reload. The guard sees
// that it was written to, and writes it back. Whoever else writes to it is undone as
// well. Only a scope that needs one has a guard: it takes one of the inotify
// instances of the user, of which there may be 128.
type guard struct {
	policy string // what systemd writes; "" where there is no such file
	file   string // memory.oom.group

	mu    sync.Mutex
	watch *watcher // guarded by mu; nil: nothing is watched
	over  bool     // guarded by mu; no more is to be watched
}

// watcher is a goroutine that writes text to a file whenever another has.
type watcher struct {
	events *os.File // inotify
	text   string
	done   chan struct{} // closed when it has ended
}

// newGuard reads what systemd has written at the scope's start.
func newGuard(group *cgroup.Group) (*guard, error) {
	text, err := group.Read(oomGroup)
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return &guard{policy: strings.TrimSpace(text), file: oomGroup}, err
}

// change runs f, which may write to the file, while nothing is written back, and keeps
// what the file holds then; after an error of f, what was kept before. Only one change
// may be made at a time. A file that cannot be kept is the first error.
func (g *guard) change(group *cgroup.Group, f func() error) (kept, failed error) {
	g.mu.Lock()
	old := g.watch
	g.drop()
	g.mu.Unlock()
	switch failed = f(); {
	case failed != nil && old != nil:
		return g.keep(group, old.text), failed
	case failed != nil || g.policy == "":
		return nil, failed
	}
	text, err := group.Read(g.file)
	if err != nil {
		return err, nil
	}
	return g.keep(group, strings.TrimSpace(text)), nil
}

// keep begins to watch the file, unless it is to hold what systemd writes.
func (g *guard) keep(group *cgroup.Group, text string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if text == g.policy || g.over {
		return nil
	}
	events, err := group.WatchWrites(g.file)
	if err != nil {
		return fmt.Errorf("guard %s: %w", g.file, err)
	}
	g.watch = &watcher{events, text, make(chan struct{})}
	go g.watch.run(group, g.file)
	return nil
}

// end ends the guard for good.
func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	g.drop()
}

// drop ends the watch, and returns when it writes no more. g.mu is held.
func (g *guard) drop() {
	if g.watch != nil {
		_ = g.watch.events.Close() // it is only read from
		<-g.watch.done
		g.watch = nil
	}
}

func (w *watcher) run(group *cgroup.Group, file string) {
	defer close(w.done)
	restoreAt(w.events, group, file, w.text)
}

// restoreAt writes the text to the file whenever that was written to and holds
// something else, until the watch is closed or the group is gone.
func restoreAt(watch *os.File, group *cgroup.Group, file, text string) {
	events := make([]byte, 4096)
	for {
		now, err := group.Read(file)
		if err == nil && strings.TrimSpace(now) != text {
			err = group.Write(file, text)
		}
		if err != nil {
			return
		}
		if _, err := watch.Read(events); err != nil {
			return
		}
	}
}
