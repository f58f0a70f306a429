// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd-mini/mini/linux/fault"
)

// freezeLimit bounds the time that a group may take to stop or to run again if the caller
// sets no end. It is that of runc. A process that waits in the kernel for a server that
// does not answer may never stop.
const freezeLimit = 10 * time.Second

// Freeze stops every process in the group and below it and returns when all
// are stopped (kernel 5.2). If ctx or freezeLimit ends before that, Freeze thaws the group
// again and returns the context's error.
func (g *Group) Freeze(ctx context.Context) error { return g.freeze(ctx, freezeLimit) }

func (g *Group) freeze(ctx context.Context, limit time.Duration) error {
	if err := g.pause(true); err != nil {
		return err
	}
	fault.Point("pause.freezing")
	if err := g.waitFrozen(ctx, limit, 1); err != nil {
		return errors.Join(fmt.Errorf("freeze cgroup %s: %w", g.path, err), g.pause(false))
	}
	return nil
}

// Thaw lets the processes run on and returns when the kernel says that they do. A group
// below a frozen one stays frozen. Thaw then ends with ctx or freezeLimit.
func (g *Group) Thaw(ctx context.Context) error { return g.thaw(ctx, freezeLimit) }

func (g *Group) thaw(ctx context.Context, limit time.Duration) error {
	if err := g.pause(false); err != nil {
		return err
	}
	if err := g.waitFrozen(ctx, limit, 0); err != nil {
		return fmt.Errorf("thaw cgroup %s: %w", g.path, err)
	}
	return nil
}

func (g *Group) waitFrozen(ctx context.Context, limit time.Duration, state uint64) error {
	cause := fmt.Errorf("not done after %v: %w", limit, context.DeadlineExceeded)
	limited, cancel := context.WithTimeoutCause(ctx, limit, cause)
	defer cancel()
	err := waitFor(limited, g.dir, "frozen", state)
	if err != nil && limited.Err() != nil {
		return context.Cause(limited)
	}
	return err
}

// freezer records why a group is frozen.
type freezer struct {
	mu     sync.Mutex
	paused bool // guarded by mu; Freeze was called, and no Thaw since
	holds  int  // guarded by mu; holds that were not released
}

// pause writes what Freeze and Thaw ask for. If the group is held, release thaws it.
func (g *Group) pause(paused bool) error {
	f := &g.freezer
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused = paused
	if !paused && f.holds > 0 {
		return nil
	}
	return writeFile(g.dir, "cgroup.freeze", map[bool]string{true: "1", false: "0"}[paused])
}

// holdLimit bounds the wait of hold. Most processes stop in a moment.
const holdLimit = 50 * time.Millisecond

// hold freezes the group for a moment, independently of Freeze and Thaw. Until release no
// process that stands still forks. held is false if somebody else, such as criu, has
// frozen the group and will thaw it.
func (g *Group) hold() (held bool, err error) {
	if held, err = g.holdNow(); err != nil || !held {
		return held, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), holdLimit)
	defer cancel()
	if err := waitFor(ctx, g.dir, "frozen", 1); err != nil && ctx.Err() == nil {
		return true, err
	}
	return true, nil
}

func (g *Group) holdNow() (held bool, err error) {
	f := &g.freezer
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.paused && f.holds == 0 {
		text, err := readFile(g.dir, "cgroup.freeze")
		if err != nil || strings.TrimSpace(string(text)) == "1" {
			return false, err
		}
		if err := writeFile(g.dir, "cgroup.freeze", "1"); err != nil {
			return false, err
		}
	}
	f.holds++
	return true, nil
}

// release undoes hold.
func (g *Group) release() error {
	f := &g.freezer
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holds--
	if f.holds > 0 || f.paused {
		return nil
	}
	return writeFile(g.dir, "cgroup.freeze", "0")
}
