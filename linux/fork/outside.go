// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/sys"
)

// Stillborn reports whether the kernel killed the child before its first
// instruction. If so, it reaps the child and closes its Pidfd. The child has done
// nothing, and StartOutside may be tried.
//
// This happens to a child with CLONE_INTO_CGROUP if cgroup.kill was used a different
// number of times on the parent's cgroup and on the child's. Linux 6.14 ("cgroup: fix
// race between fork and cgroup.kill"), and stable kernels that have that fix, count the
// uses in each cgroup, to kill a child that is born during one (seen on 6.18 and
// Debian's 6.1.176, not on its 6.12.117). But the kernel reads the count of the parent's
// cgroup before the clone, and that of the child's after it. User space cannot read the
// counts.
//
// Stillborn leaves a child alone that was killed otherwise or has ended by itself.
func (c *Child) Stillborn() (bool, error) {
	if !sys.PidfdDying(c.Pidfd) { // the usual case costs this one call
		return false, nil
	}
	exit, faults, err := sys.PidfdFate(c.Pidfd)
	// A child that has run has had page faults: before its first op (rawClone, child) it
	// writes to its stack, which it still shares with the parent.
	if err != nil || exit != (sys.Exit{Signaled: true, Status: int(unix.SIGKILL)}) || faults > 0 {
		return false, err
	}
	_, err = sys.PidfdWait(c.Pidfd)
	return true, errors.Join(err, c.Pidfd.Close())
}

// StartOutside is Start without CLONE_INTO_CGROUP, for a Config whose child was
// Stillborn. The new child waits in front of its Program until enter has moved it
// into the Cgroup, so that the Program's first step is already taken there.
//
// Execs took 1.2 to 1.7 ms more so than when the first clone lived, most of it for
// the move (Linux 6.18, a busy machine).
func StartOutside(c Config, enter func(dir *os.File, pid int) error) (_ *Child, err error) {
	dir := c.Cgroup
	c.Cgroup = nil
	conn, end, err := Pair()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	child, err := c.startWaiting(conn, end)
	_ = end.Close() // the child has its own
	if err != nil {
		return nil, err
	}
	fault.Point("outside.born")
	if err = enter(dir, child.Pid); err == nil {
		err = conn.Send([]byte{0})
	}
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EPIPE) {
		err = nil // it was killed: the caller will find it dead
	}
	if err == nil {
		return child, nil
	}
	_ = sys.PidfdSend(child.Pidfd, unix.SIGKILL) // or it is dead
	_, werr := sys.PidfdWait(child.Pidfd)
	return nil, errors.Join(fmt.Errorf("clone process: %w", err), werr, child.Pidfd.Close())
}

// startWaiting starts a child that waits in front of its Program.
func (c *Config) startWaiting(conn, end *sys.Conn) (*Child, error) {
	if err := c.Program.Compile(); err != nil {
		return nil, err
	}
	return c.start(c.Program.waitOutside(conn, end))
}

// outsideOps is the number of ops behind those of the steps that waitOutside fills.
const outsideOps = 3

// waitOutside appends ops that end when the parent sends something, and returns the
// index of the first. A child whose parent has died ends: nobody else has the other
// end of the socket, as the child closes its own copy.
// Precondition: Compile.
func (p *Program) waitOutside(conn, end *sys.Conn) int32 {
	first := len(p.steps)
	p.ops[first] = op{nr: unix.SYS_PRCTL, args: [6]uintptr{unix.PR_SET_DUMPABLE}} // as all programs begin
	p.ops[first+1] = op{nr: unix.SYS_CLOSE, args: [6]uintptr{conn.Fd()}}
	p.ops[first+2] = op{
		nr: unix.SYS_READ, args: [6]uintptr{end.Fd(), address(New(p, byte(0))), 1}, want: 1, check: true,
		ok: 1, // step 0 is only a label
	}
	return int32(first)
}
