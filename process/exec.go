// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"syscall"
	"time"

	"github.com/containerd-mini/mini/linux"
	"github.com/containerd-mini/mini/linux/fault"
)

// claimExec takes an exec and its container for a start, at once: from then on
// init's exit is not announced before the exec's is, or the start has failed.
func (p *Process) claimExec() error {
	c := p.container
	c.init.mu.Lock()
	defer c.init.mu.Unlock()
	if _, err := c.init.nextLocked(opExec); err != nil {
		return err
	}
	if err := p.move(opStart); err != nil {
		return err
	}
	c.execs.Add(1)
	return nil
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
		s.abort()
		return err
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
	p.mu.Lock()
	p.proc, p.streams, p.spec = proc, s, nil
	if p.size != nil && proc.Console() != nil {
		// Under mu, so that it does not follow a later one; it does not block.
		if err := proc.Resize(uint16(p.size.Width), uint16(p.size.Height)); err != nil {
			p.log().WithError(err).Warn("resize the terminal")
		}
	}
	closed := p.noStdin
	p.mu.Unlock()
	if closed {
		if err := s.closeStdin(); err != nil {
			p.log().WithError(err).Warn("close stdin")
		}
	}
}

// execFailed ends a start that made no process.
func (p *Process) execFailed() {
	p.must(opExecFailed)
	p.giveUp()
	p.container.execs.Done()
}

// giveUp tells who waits for an exec that there will be no process; again is no
// error, as when what could not be started is deleted.
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

// killExec signals an exec; SIGKILL goes to all its descendants as well.
func (p *Process) killExec(sig syscall.Signal) error {
	p.mu.Lock()
	_, err := p.nextLocked(opKillExec)
	proc := p.proc
	p.mu.Unlock()
	if err != nil {
		return err
	}
	if sig == syscall.SIGKILL {
		return proc.KillTree()
	}
	return proc.Signal(sig)
}
