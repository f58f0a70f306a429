// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux/fault"
)

// deathTimeout bounds the wait for killed processes to be dead. They need
// milliseconds; init's exit must be told even if one of them cannot die.
const deathTimeout = 2 * time.Second

// watch waits for the end of a started process and does, in this order, what
// the end of a process demands:
//
//	process dead -> Exiting (no exec starts from here)
//	init: OOM kills announced that are known by now
//	init: the rest of the container is killed and dead, every exec is announced
//	terminal copied to its end, last output taken by the reader
//	OOM kills announced
//	init: exit.json written
//	Exited called -> Stopped, waiters released
//
// One goroutine per process runs it and ends with it.
func (p *Process) watch() {
	exit := p.wait()
	fault.Point("exit.dead")
	p.must(opExit)
	shot := exit.Code == killedCode
	if p.IsInit() {
		p.container.oom.check(shot) // systemd may be about to remove the cgroup
	}
	if p.IsInit() {
		p.container.end()
	}
	p.streams.exited()
	p.container.oom.check(shot)
	if p.IsInit() {
		if err := p.container.bundle.writeExit(exit); err != nil {
			p.log().WithError(err).Error("record the exit")
		}
	}
	fault.Point("exit.recorded")
	p.container.notify.Exited(p, exit)
	p.stop(exit)
	fault.Point("exit.announced")
	if !p.IsInit() {
		p.container.dropLate(p)
	}
}

// wait blocks until the process is dead and reaped.
func (p *Process) wait() Exit {
	status, err := p.proc.Wait()
	if err != nil {
		p.log().WithError(err).Error("wait for process")
		return Exit{Pid: p.proc.Pid(), Code: unknownCode, At: time.Now()}
	}
	return Exit{Pid: p.proc.Pid(), Code: status.Code, At: status.At}
}

// stop is the one place where an exit becomes visible.
func (p *Process) stop(exit Exit) {
	p.mu.Lock()
	p.exit = exit
	p.mustLocked(opStop)
	p.mu.Unlock()
	close(p.done)
}

// end is the part of init's exit that concerns the rest of the container: init
// is the last to be announced. With a pid namespace of its own the kernel has
// killed all others by now; without one the cgroup is killed. Execs are
// children of the shim, so each has its own watch, which is waited for; new ones
// are refused since init is Exiting, and those that are being started end.
func (c *Container) end() {
	c.endStarts()
	if !c.linux.PrivatePIDs() {
		if err := c.endOthers(); err != nil {
			c.init.log().WithError(err).Error("kill what init left behind")
		}
	}
	c.awaitExecs(c.processes())
	c.oom.stop()
}

// endStarts ends the starts of execs, as init ends. Where init is killed they end at
// once: the kernel lets it die only when all of its pid namespace are reaped, which
// a start does with the process that it has made.
func (c *Container) endStarts() {
	for _, p := range c.processes() {
		p.endStart(fmt.Errorf("init has ended: %w", errdefs.ErrFailedPrecondition))
	}
}

// awaitExecs waits until every exec that was ever started is announced, or could not be
// started, but for no longer than deathTimeout: one of them may not be able to die, nor
// to give up its start.
func (c *Container) awaitExecs(execs []*Process) {
	limit := time.NewTimer(deathTimeout)
	defer limit.Stop()
	for _, p := range execs {
		if p.State() == Created { // and stays so
			continue
		}
		select {
		case <-p.done:
			continue
		default:
		}
		select {
		case <-p.done:
		case <-limit.C:
			limit.Reset(0) // for those that follow
			p.log().Warn("init's exit does not wait for this exec any longer")
			c.notify.Late(p)
		}
	}
}

// endOthers kills what shares init's cgroup, and waits until it is dead, as the
// kernel does where init has a pid namespace of its own: who is told of init's
// exit finds no process of the container. A process that cannot die, as on a
// file system that does not answer, is waited for no longer than deathTimeout.
func (c *Container) endOthers() error {
	err := c.linux.Kill()
	if errdefs.IsNotFound(err) { // the container has removed its cgroup
		err = nil
	}
	for _, p := range c.processes() { // an exec may have left the cgroup
		if kerr := p.killExec(syscall.SIGKILL); !errdefs.IsNotFound(kerr) && !errdefs.IsFailedPrecondition(kerr) {
			err = errors.Join(err, kerr)
		}
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), deathTimeout)
	defer cancel()
	return c.linux.WaitEmpty(ctx)
}

// log returns the logger for what no caller receives.
func (p *Process) log() *log.Entry {
	e := log.L.WithField("id", p.container.id)
	if !p.IsInit() {
		e = e.WithField("exec_id", p.id)
	}
	return e
}
