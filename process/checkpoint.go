// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/linux"
)

// Checkpoint says how Container.Checkpoint is to be done.
type Checkpoint = linux.CheckpointConfig

// Restore says what New is to make a container of.
type Restore = linux.RestoreConfig

// Checkpoint writes the state of the container's processes to a directory. The
// container goes on as it was, running or paused, or ends (Exit): then like any
// other that was killed.
func (c *Container) Checkpoint(ctx context.Context, cfg *Checkpoint) error {
	return c.init.claim(opCheckpoint, opCheckpointed, opCheckpointed, func() error {
		return c.linux.Checkpoint(ctx, cfg)
	})
}

// prepare makes all of a container but its init, which Start makes.
func (c *Container) prepare(ctx context.Context, config *linux.Config, r *Restore, s *streams) (err error) {
	if c.linux, err = linux.Restore(ctx, config, r); err != nil {
		return err
	}
	c.init.streams, c.init.state = s, Prepared
	return nil
}

// startPrepared restores init and what else there was.
func (p *Process) startPrepared(ctx context.Context) error {
	c := p.container
	if err := c.linux.Start(ctx); err != nil {
		return err
	}
	proc := c.linux.Init()
	if err := c.bundle.writePid(proc.Pid()); err != nil {
		// The record names the cgroup, so nothing is lost but the pid in an exit.
		p.log().WithError(err).Warn("record the pid")
	}
	p.streams.started(proc.Console())
	p.enter(proc, p.streams)
	return nil
}

// killPrepared is Kill while there is no init yet: SIGKILL ends the restore.
func (p *Process) killPrepared(kill bool) error {
	if !kill {
		return fmt.Errorf("kill %s: process not created: %w", p.object(), errdefs.ErrNotFound)
	}
	return p.container.linux.Kill()
}

// settled waits until a container that is being restored either runs or does not,
// and reports whether it has an init.
func (p *Process) settled(ctx context.Context) (bool, error) {
	for {
		state, changed := p.stateUntil()
		switch state {
		case Prepared, Dropping, Deleting, Deleted:
			return p.Pid() != 0, nil
		case Restoring:
		default:
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-changed:
		}
	}
}

// abandon releases what an init has that never was.
func (p *Process) abandon() {
	p.container.oom.stop()
	if err := p.streams.abort(); err != nil {
		p.log().WithError(err).Warn("release streams")
	}
}
