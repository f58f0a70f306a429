// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd-mini/mini/linux/fault"
)

// freezeLimit is how long a group may take to stand still, or to move again, where
// the caller sets no end: as long as with runc. A process that waits in the kernel,
// for a server that does not answer, may never stand still.
const freezeLimit = 10 * time.Second

// Freeze stops every process in the group and below it and returns when all
// are stopped (kernel 5.2). When ctx ends before, or freezeLimit, the group is
// thawed again and the error is context's.
func (g *Group) Freeze(ctx context.Context) error { return g.freeze(ctx, freezeLimit) }

func (g *Group) freeze(ctx context.Context, limit time.Duration) error {
	if err := writeFile(g.dir, "cgroup.freeze", "1"); err != nil {
		return err
	}
	fault.Point("pause.freezing")
	if err := g.waitFrozen(ctx, limit, 1); err != nil {
		return errors.Join(fmt.Errorf("freeze cgroup %s: %w", g.path, err), writeFile(g.dir, "cgroup.freeze", "0"))
	}
	return nil
}

// Thaw lets the processes run on and returns when the kernel says so. A group
// below a frozen one stays frozen: then it ends with ctx, or freezeLimit.
func (g *Group) Thaw(ctx context.Context) error { return g.thaw(ctx, freezeLimit) }

func (g *Group) thaw(ctx context.Context, limit time.Duration) error {
	if err := writeFile(g.dir, "cgroup.freeze", "0"); err != nil {
		return err
	}
	if err := g.waitFrozen(ctx, limit, 0); err != nil {
		return fmt.Errorf("thaw cgroup %s: %w", g.path, err)
	}
	return nil
}

func (g *Group) waitFrozen(ctx context.Context, limit time.Duration, state uint64) error {
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	err := waitFor(limited, g.dir, "frozen", state)
	if err != nil && limited.Err() != nil {
		return context.Cause(limited)
	}
	return err
}
