// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/containerd-mini/mini/linux/sys"
)

// Config says how to clone the child.
type Config struct {
	Flags   uint64   // CLONE_NEW* of clone(2)
	Cgroup  *os.File // the child is born in this cgroup2 directory (O_PATH will do); nil: the shim's own
	Program *Program
	Conn    *sys.Conn // the child's end of the socket, see Pair
}

// Child is a process that runs its Program.
type Child struct {
	Pid   int      // in the shim's pid namespace
	Pidfd *os.File // owned by the caller; in the runtime's poller (sys.NewPidfd)
}

// Pair makes the socket between parent and child. Messages keep their borders
// (SOCK_SEQPACKET). The caller closes parent when it is done with the child, and
// child as soon as Start has returned.
func Pair() (parent, child *sys.Conn, err error) {
	return sys.SocketPair()
}

// Start clones the calling thread's process. Precondition: the caller has locked
// its thread where the thread's own namespaces matter (setns or unshare of pid
// and time namespaces act on the children of a thread). The caller closes the
// Program when it will not start it again.
//
// A child with a Cgroup may be Stillborn.
func Start(c Config) (*Child, error) {
	return c.start(0)
}

// start clones a child that begins with op first.
func (c *Config) start(first int32) (*Child, error) {
	p := c.Program
	if err := p.Compile(); err != nil {
		return nil, err
	}
	pidfd := New(p, int32(-1))
	args := newCloneArgs(c, pidfd)
	b := New(p, birth{ops: &p.ops[0], first: first, report: int32(c.Conn.Fd())})
	if p.mem.err != nil {
		return nil, fmt.Errorf("clone process: %w", p.mem.err)
	}
	if err := hide(); err != nil {
		return nil, fmt.Errorf("clone process: %w", err)
	}

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var pid uintptr
	var errno syscall.Errno
	syscall.ForkLock.Lock()
	err := p.mem.show(func() { pid, errno = clone(args, entry(), b) })
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(c)
	if err != nil && pid == 0 {
		return nil, fmt.Errorf("clone process: %w", err)
	}
	if errno != 0 {
		return nil, fmt.Errorf("clone process: %w", sys.LimitError(os.NewSyscallError("clone3", errno)))
	}
	return &Child{Pid: int(pid), Pidfd: sys.NewPidfd(int(*pidfd), int(pid))}, nil
}

// StepError is a step of the child that failed.
type StepError struct {
	Step  int
	What  string
	Errno syscall.Errno
}

// Error is `operation object: cause`.
func (e *StepError) Error() string { return e.What + ": " + e.Errno.Error() }

// Unwrap is the errno.
func (e *StepError) Unwrap() error { return e.Errno }

// Failure decodes the message with which a child reports that a step failed, or
// returns nil when msg is none.
func (p *Program) Failure(msg []byte) error {
	step, errno, ok := decodeFailure(msg)
	if !ok {
		return nil
	}
	return &StepError{Step: step, What: p.what(step), Errno: errno}
}
