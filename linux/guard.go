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

	mu    sync.Mutex
	watch *os.File // guarded by mu; inotify, or nil
	over  bool     // guarded by mu; no more is to be watched
}

// newGuard reads what systemd has written at the scope's start.
func newGuard(group *cgroup.Group) (*guard, error) {
	text, err := group.Read(oomGroup)
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return &guard{policy: strings.TrimSpace(text)}, err
}

// keep keeps what the file holds now, which was just asked for.
func (g *guard) keep(group *cgroup.Group) error {
	if g.policy == "" {
		return nil
	}
	text, err := group.Read(oomGroup)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop()
	text = strings.TrimSpace(text)
	if text == g.policy || g.over {
		return nil
	}
	if g.watch, err = group.WatchWrites(oomGroup); err != nil {
		return fmt.Errorf("guard %s: %w", oomGroup, err)
	}
	go restoreAt(g.watch, group, oomGroup, text)
	return nil
}

// end ends the guard for good.
func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	g.drop()
}

// drop ends the watch, and its goroutine. g.mu is held.
func (g *guard) drop() {
	if g.watch != nil {
		_ = g.watch.Close() // it is only read from
		g.watch = nil
	}
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
