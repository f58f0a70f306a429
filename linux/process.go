// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// ExitStatus is how a process ended, and when the shim learnt of it.
type ExitStatus struct {
	Code uint32 // the exit code, or 128 + the signal that ended it
	At   time.Time
}

// Process is a container's init or one of its execs, known by its pidfd from
// birth: it is never signalled or waited for by pid.
type Process struct {
	pid     int
	pidfd   *os.File  // non-blocking, in the runtime's poller
	console *os.File  // pty master, or nil
	tree    *execTree // an exec's; nil for init

	once   sync.Once
	status ExitStatus // set by once
	err    error      // set by once
	closer sync.Once
}

// Pid is the process's pid as the shim sees it. For display and /proc only.
func (p *Process) Pid() int { return p.pid }

// Console is the master of the process's terminal, nil without one. It is owned
// by the Process until Close.
func (p *Process) Console() *os.File { return p.console }

// Signal sends sig. ErrNotFound: the process is dead.
func (p *Process) Signal(sig syscall.Signal) error {
	err := sys.PidfdSend(p.pidfd, sig)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("signal process %d: process already finished: %w", p.pid, errdefs.ErrNotFound)
	}
	return err
}

// Wait blocks until the process has ended and reaps it. Every caller gets the
// same answer; one of them does the work.
func (p *Process) Wait() (ExitStatus, error) {
	p.once.Do(func() {
		var exit sys.Exit
		exit, p.err = sys.PidfdWait(p.pidfd)
		p.status = ExitStatus{Code: uint32(exit.Status), At: time.Now()}
		if exit.Signaled {
			p.status.Code += 128
		}
		own.remove(p.pid)
	})
	return p.status, p.err
}

// Resize sets the size of the process's terminal in characters.
// ErrFailedPrecondition: it has none.
func (p *Process) Resize(width, height uint16) error {
	if p.console == nil {
		return fmt.Errorf("resize terminal of process %d: it has no terminal: %w", p.pid, errdefs.ErrFailedPrecondition)
	}
	return setWinsize(p.console, width, height)
}

// Close releases what the process held: pidfd, terminal, an exec's tree.
// Precondition: Wait has returned.
func (p *Process) Close() (err error) {
	p.closer.Do(func() {
		err = p.pidfd.Close()
		if p.console != nil {
			err = errors.Join(err, p.console.Close())
		}
		if p.tree != nil {
			err = errors.Join(err, p.tree.close())
		}
	})
	return err
}
