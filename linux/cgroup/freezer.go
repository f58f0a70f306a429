// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd-mini/mini/linux/fault"
)

// Freeze stops every process in the group and below it and returns when all
// are stopped (kernel 5.2). When ctx ends before, the group is thawed again
// and the error is ctx's.
func (g *Group) Freeze(ctx context.Context) error {
	if err := writeFile(g.dir, "cgroup.freeze", "1"); err != nil {
		return err
	}
	fault.Point("pause.freezing")
	if err := waitFor(ctx, g.dir, "frozen", 1); err != nil {
		return errors.Join(fmt.Errorf("freeze cgroup %s: %w", g.path, err), writeFile(g.dir, "cgroup.freeze", "0"))
	}
	return nil
}

// Thaw lets the processes run on and returns when the kernel says so. A group
// below a frozen one stays frozen: then it ends with ctx.
func (g *Group) Thaw(ctx context.Context) error {
	if err := writeFile(g.dir, "cgroup.freeze", "0"); err != nil {
		return err
	}
	if err := waitFor(ctx, g.dir, "frozen", 0); err != nil {
		return fmt.Errorf("thaw cgroup %s: %w", g.path, err)
	}
	return nil
}
