// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/linux"
	"github.com/containerd-mini/mini/linux/fault"
)

// errKilled is why a start ended of an exec that was killed.
var errKilled = fmt.Errorf("killed: %w", errdefs.ErrAborted)

// startNew starts an exec, unless ctx ends, the exec is killed or init ends before its
// program runs.
func (p *Process) startNew(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := p.claimExec(cancel); err != nil {
		return err
	}
	if err := p.startExec(ctx); err != nil {
		p.execFailed()
		if cause := context.Cause(ctx); cause != nil { // whatever it was that this has ended
			if !errors.Is(err, cause) {
				err = errors.Join(cause, err)
			}
			err = fmt.Errorf("start %s: %w", p.object(), err)
		}
		return err
	}
	p.must(opStarted)
	return nil
}

// claimExec takes an exec and its container for a start, at once: init's exit, from
// which no exec is started, finds the exec and ends its start by cancel.
func (p *Process) claimExec(cancel context.CancelCauseFunc) error {
	init := p.container.init
	init.mu.Lock()
	defer init.mu.Unlock()
	if _, err := init.nextLocked(opExec); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.moveLocked(opStart); err != nil {
		return err
	}
	p.cancel = cancel
	return nil
}

// endStart ends the start of an exec that is being started.
func (p *Process) endStart(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == Starting {
		p.cancel(cause)
	}
}

// startExec makes the process. Precondition: claimExec.
func (p *Process) startExec(ctx context.Context) (err error) {
	c := p.container
	s, err := openStreams(ctx, &streamsConfig{
		Stdio: p.stdio, ID: p.id, Namespace: c.namespace, UID: c.uid, GID: c.gid,
	})
	if err != nil {
		return err
	}
	fault.Point("exec.streams-open")
	p.mu.Lock()
	spec := p.spec
	if p.size != nil {
		spec.ConsoleSize = p.size
	}
	p.mu.Unlock()
	proc, err := c.linux.Exec(ctx, &linux.ExecConfig{ID: p.id, Process: spec, Stdio: s.child})
	if err != nil {
		return errors.Join(err, s.abort())
	}
	fault.Point("exec.made")
	s.started(proc.Console())
	p.enter(proc, s)
	go p.watch()
	return nil
}

// enter makes proc and s the process's. Requests that come from now on go to them; what
// came before is done here.
func (p *Process) enter(proc *linux.Process, s *streams) {
	killed, closed := p.enterLocking(proc, s)
	if closed {
		if err := s.closeStdin(); err != nil {
			p.log().WithError(err).Warn("close stdin")
		}
	}
	if killed { // when it ran already
		if err := proc.KillTree(); err != nil {
			p.log().WithError(err).Warn("kill the process")
		}
	}
}

func (p *Process) enterLocking(proc *linux.Process, s *streams) (killed, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proc, p.streams, p.spec = proc, s, nil
	if p.size != nil && proc.Console() != nil {
		// Under mu, so that it does not follow a later one; it does not block.
		if err := proc.Resize(uint16(p.size.Width), uint16(p.size.Height)); err != nil {
			p.log().WithError(err).Warn("resize the terminal")
		}
	}
	return p.killed, p.noStdin
}

// execFailed ends a start that made no process.
func (p *Process) execFailed() {
	p.must(opExecFailed)
	p.giveUp()
	p.container.dropLate(p)
}

// giveUp ends the waits for an exec that will have no process. It may be called again,
// which happens when an exec that could not be started is deleted.
func (p *Process) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		p.exit = Exit{Code: unknownCode, At: time.Now()}
		close(p.done)
	}
}

// killExec signals an exec; SIGKILL goes to all its descendants as well, and ends a
// start.
func (p *Process) killExec(sig syscall.Signal) error {
	p.mu.Lock()
	_, err := p.nextLocked(opKillExec)
	proc := p.proc
	if err == nil && proc == nil {
		if sig == syscall.SIGKILL {
			p.killed = true
			p.cancel(errKilled)
		} else {
			err = &stateError{op: opKillExec, State: p.state, Object: p.object()}
		}
	}
	p.mu.Unlock()
	switch {
	case err != nil || proc == nil:
		return err
	case sig == syscall.SIGKILL:
		return proc.KillTree()
	}
	return proc.Signal(sig)
}
