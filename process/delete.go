// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"fmt"

	"github.com/containerd-mini/mini/linux/fault"
)

// delete releases the container after its init has stopped:
//
//	created -> killed and waited for
//	cgroup, mounts and the rest of the container destroyed, record.json removed
//	each process: output taken by its reader (bounded), streams and pidfd closed
//
// If the container cannot be destroyed it stays stopped, and Delete may be
// tried again.
func (c *Container) delete(ctx context.Context) (Exit, error) {
	if err := c.discard(ctx); err != nil {
		return Exit{}, err
	}
	if err := c.init.move(opDelete); err != nil {
		return Exit{}, err
	}
	fault.Point("delete.claimed")
	if err := c.linux.Destroy(ctx); err != nil {
		c.init.must(opDeleteFailed)
		return Exit{}, fmt.Errorf("delete container %s: %w", c.id, err)
	}
	fault.Point("delete.destroyed")
	// No record means that nothing is left to clean up: the delete verb, which
	// containerd runs after each shutdown, need not look.
	if err := c.bundle.remove(recordFile); err != nil {
		c.init.log().WithError(err).Warn("remove record")
	}
	fault.Point("delete.unrecorded")
	for _, p := range c.processes() {
		c.dropExec(p)
	}
	c.init.release()
	c.init.must(opDeleted)
	for _, p := range c.processes() { // that have ended since
		c.dropExec(p)
	}
	return c.init.exited(), nil
}

// dropLate releases an exec that has ended after its container was deleted.
func (c *Container) dropLate(p *Process) {
	if c.init.State() == Deleted {
		c.dropExec(p)
	}
}

// discard kills a container that was never started and waits for its end, which
// is announced like any other. It leaves all others alone.
func (c *Container) discard(ctx context.Context) error {
	if c.init.State() != Created {
		return nil
	}
	if err := c.init.move(opDiscard); err != nil {
		return err
	}
	err := c.linux.Kill()
	if err == nil {
		_, err = c.init.Wait(ctx)
	}
	if err != nil {
		c.init.must(opDiscardFailed)
		return fmt.Errorf("delete container %s: %w", c.id, err)
	}
	return nil
}

// dropExec releases an exec that nobody deleted; one that is just being deleted
// is released by whoever does.
func (c *Container) dropExec(p *Process) {
	if p.move(opDelete) != nil {
		return
	}
	p.release()
	p.must(opDeleted)
}
