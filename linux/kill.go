// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/sys"
)

// A container's processes are those in its cgroup, and init wherever that is: a
// container that can write to a cgroup mount may take init out of its cgroup, and remove
// that.

// Pids are the pids, as the shim sees them, of every process in the container's
// cgroup and the cgroups below it, and of init.
func (c *Container) Pids() ([]int, error) {
	pids, err := c.group.Pids()
	init := c.living()
	switch {
	case init == nil, err != nil && !isRemoved(err):
		return pids, c.removed(err)
	case !slices.Contains(pids, init.pid):
		pids = append(pids, init.pid)
	}
	return pids, nil
}

// Kill sends SIGKILL to every process of the container in one step (cgroup.kill,
// Linux 5.14), and to init. Frozen processes die, too. Init goes first: by that an exec
// which comes into the cgroup afterwards knows (execer.moveIn).
func (c *Container) Kill() error {
	sent, ierr := c.signalInit(syscall.SIGKILL)
	err := c.group.Kill()
	if isRemoved(err) && sent {
		err = nil
	}
	return errors.Join(c.removed(err), ierr)
}

// SignalAll sends sig to every process of the container. Processes that appear
// while it runs may be missed, which only Kill rules out.
func (c *Container) SignalAll(sig syscall.Signal) error {
	if sig == syscall.SIGKILL {
		return c.Kill()
	}
	pids, err := c.group.Pids()
	sent, ierr := c.signalInit(sig)
	if isRemoved(err) && sent {
		err = nil
	}
	errs := []error{c.removed(err), ierr}
	for _, pid := range pids {
		if c.init == nil || pid != c.init.pid {
			errs = append(errs, signalMember(c.group, pid, sig))
		}
	}
	return errors.Join(errs...)
}

// first is init, or nil while a container is being restored.
func (c *Container) first() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.init
}

// living is init if that is alive.
func (c *Container) living() *Process {
	if init := c.first(); init != nil && sys.PidfdAlive(init.pidfd) {
		return init
	}
	return nil
}

// signalInit sends a signal to init. sent is false if that has ended.
func (c *Container) signalInit(sig syscall.Signal) (sent bool, err error) {
	return signalled(c.first(), sig)
}

// signalled is signalInit; init is nil where there is none yet.
func signalled(init *Process, sig syscall.Signal) (sent bool, err error) {
	if init == nil {
		return false, nil
	}
	err = init.Signal(sig)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// isRemoved reports whether an error is of a cgroup that was removed, which has no files
// any more.
func isRemoved(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, os.ErrClosed)
}

// removed maps errors from a cgroup that was removed: by Destroy to ErrNotFound, by the
// container itself to ErrFailedPrecondition.
func (c *Container) removed(err error) error {
	switch {
	case !isRemoved(err):
		return err
	case c.living() != nil:
		return fmt.Errorf("container %s: it has removed its cgroup: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("container %s has ended: %w", c.id, errdefs.ErrNotFound)
}

// signalMember sends sig to a process that was seen in group. Its pidfd is opened
// first and its cgroup read again behind it, so a pid that was given to another
// process meanwhile is never hit. A process that is gone is no error.
func signalMember(group *cgroup.Group, pid int, sig syscall.Signal) error {
	pidfd, err := sys.PidfdOpen(pid)
	if err != nil {
		return unlessGone(err)
	}
	defer pidfd.Close()
	if is, err := group.Has(pid); err != nil || !is {
		return unlessGone(err)
	}
	return unlessGone(sys.PidfdSend(pidfd, sig))
}

func unlessGone(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
