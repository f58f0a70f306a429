// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux"
	"github.com/containerd-mini/mini/linux/fault"
)

// Process is a container's init or one of its execs. From its start on a
// goroutine waits for its end (watch); Delete releases what it holds.
type Process struct {
	container *Container
	id        string         // exec id; the container's id for init
	stdio     Stdio          // as asked for
	spec      *specs.Process // an exec's, until its start; nil for init
	done      chan struct{}  // closed when the process has stopped, or an exec's start failed

	mu      sync.Mutex
	state   State          // guarded by mu
	changed chan struct{}  // guarded by mu; closed at the next change of state, nil while nobody waits for it
	exit    Exit           // guarded by mu; valid once done is closed
	size    *specs.Box     // guarded by mu; terminal size asked for while there was no process
	noStdin bool           // guarded by mu; stdin was given up while there was no process
	killed  bool           // guarded by mu; by SIGKILL, while there was no process
	proc    *linux.Process // guarded by mu until Running; nil before
	streams *streams       // as proc

	cancel context.CancelCauseFunc // guarded by mu; ends an exec's start
}

func newProcess(c *Container, id string, s Stdio) *Process {
	return &Process{container: c, id: id, stdio: s, state: Created, done: make(chan struct{})}
}

// ID is the exec id, or the container's id for init.
func (p *Process) ID() string { return p.id }

// IsInit reports whether the process is the container's first one, and not an exec.
func (p *Process) IsInit() bool { return p.container.init == p }

// Stdio returns the streams that the request for the process named.
func (p *Process) Stdio() Stdio { return p.stdio }

// Pid returns the process's pid, or 0 for an exec that was not started.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return 0
	}
	return p.proc.Pid()
}

// State is where the process is in its life.
func (p *Process) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Status is a process at one moment.
type Status struct {
	State State // of an exec in a paused container: the container's, until it has ended
	Pid   int   // 0 for an exec that was not started
	Exit  Exit  // the zero Exit until the process has stopped
}

// Status returns what containerd is told about the process.
func (p *Process) Status() Status {
	paused := none
	if !p.IsInit() {
		switch s := p.container.init.State(); s {
		case Pausing, Paused, Resuming, DumpingPaused:
			paused = s
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{State: p.state, Exit: p.exit}
	if p.proc != nil {
		s.Pid = p.proc.Pid()
	}
	if paused != none && p.state < Failed {
		s.State = paused
	}
	return s
}

// exited returns how the process ended, or the zero Exit until it has stopped.
func (p *Process) exited() Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// Start lets init execute its program, or makes an exec. It returns when the
// program is being executed, or why not. A process that ends at once was
// started all the same.
func (p *Process) Start(ctx context.Context) error {
	if p.IsInit() && p.State() == Prepared {
		err := p.claim(opRestore, opRestored, opRestoreFailed, func() error { return p.startPrepared(ctx) })
		if err == nil {
			go p.watch()
		}
		return err
	}
	if p.IsInit() {
		return p.claim(opStart, opStarted, opStartFailed, func() error {
			fault.Point("start.claimed")
			defer fault.Point("start.released")
			return p.container.linux.Start(ctx)
		})
	}
	return p.startNew(ctx)
}

// Wait blocks until the process has stopped, or ctx is done. The answer for an
// exec that will never run, because its start failed or it was deleted, is exit
// code 255.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.done:
		return p.exited(), nil
	case <-ctx.Done():
		return Exit{}, ctx.Err()
	}
}

// Kill sends a signal to the process; all, which means something for init only,
// to every process of the container. SIGKILL ends an exec's whole tree, and the
// whole container where init's death would not. ErrNotFound: it has ended.
func (p *Process) Kill(sig syscall.Signal, all bool) error {
	if sig < 0 || sig > 64 {
		return fmt.Errorf("kill %s: no signal %d: %w", p.object(), sig, errdefs.ErrInvalidArgument)
	}
	if !p.IsInit() {
		return p.killExec(sig)
	}
	fault.Point("kill.asked")
	defer fault.Point("kill.sent")
	if err := p.may(opKill); err != nil {
		if all && p.State() == Stopped { // as runc kill --all
			return nil
		}
		return err
	}
	c := p.container
	if sig == syscall.SIGKILL {
		c.oom.killed.Store(true)
		defer c.endStarts()
	}
	if p.Pid() == 0 {
		return p.killPrepared(sig == syscall.SIGKILL)
	}
	switch {
	case sig == syscall.SIGKILL && (all || !c.linux.PrivatePIDs()):
		return c.linux.Kill()
	case all:
		return c.linux.SignalAll(sig)
	}
	return p.proc.Signal(sig)
}

// Resize sets the terminal's size in characters; without a terminal it does
// nothing. An exec that is not started yet will have the size.
func (p *Process) Resize(width, height uint16) error {
	if err := p.may(opResize); err != nil {
		return err
	}
	p.mu.Lock()
	proc := p.proc
	if proc == nil {
		p.size = &specs.Box{Width: uint(width), Height: uint(height)}
	}
	p.mu.Unlock()
	if proc == nil || !p.stdio.Terminal {
		return nil
	}
	return proc.Resize(width, height)
}

// CloseStdin gives up the shim's end of the process's stdin: the process sees
// the end of it when containerd has closed its end too. An exec that is not started
// yet will see it.
func (p *Process) CloseStdin() error {
	p.mu.Lock()
	s := p.streams
	p.noStdin = s == nil
	p.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.closeStdin()
}

// Delete releases a stopped process, init with its whole container, and returns
// how it ended. It first kills a container that was created and not started.
func (p *Process) Delete(ctx context.Context) (Exit, error) {
	if p.IsInit() {
		return p.container.delete(ctx)
	}
	if err := p.move(opDelete); err != nil {
		return Exit{}, err
	}
	exit := p.exited()
	p.release()
	p.container.forget(p)
	p.must(opDeleted)
	return exit, nil
}

// release gives back what a stopped process holds: streams, pidfd, terminal and
// cgroup slot. Precondition: the caller has claimed Deleting.
func (p *Process) release() {
	if p.proc == nil {
		if p.IsInit() {
			p.abandon()
		}
		p.giveUp()
		return
	}
	p.streams.close()
	// Its terminal is closed already if it was hung up.
	if err := p.proc.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		p.log().WithError(err).Error("release process")
	}
}

// object names the process in errors.
func (p *Process) object() string {
	if p.IsInit() {
		return "container " + p.container.id
	}
	return "exec " + p.id + " of container " + p.container.id
}
