// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// A forerunner is in the container's cgroup, so it and its clone are two processes
// there for a moment. Where pids.max has room for one only, the clone fails. Then the
// shim moves the forerunner away, and its next clone back:
//
//	forerunner               shim
//	  clone: EAGAIN
//	  --- 'R' ----------------> traces the forerunner, and moves it to its own cgroup
//	  <-- 'R' -----------------
//	  clone, and both stop ---> moves the new process into the container's cgroup,
//	                            and lets both go
//
// The new process is in the container's pid namespace, where somebody may have
// CAP_SYS_PTRACE. As it is traced from birth, it executes nothing outside its cgroup,
// whatever others write to its memory: it cannot be made to fork there. If the shim dies
// meanwhile, both are killed.
//
// To be born in the cgroup it would take clone3(2) with CLONE_INTO_CGROUP, which a
// forerunner cannot call: the seccomp filters of container engines forbid clone3, its
// user may not write to cgroup.procs, and the process would have a copy of the cgroup's
// descriptor. All processes could come in by a move, and no forerunner be in the cgroup
// but to make the mark; but a move waits for an RCU grace period, and for the forks of the
// whole host (cgroup_threadgroup_rwsem): it takes longer than the rest of an exec.

// msgRoom asks for room, and says that there may be some.
const msgRoom = 'R'

// clone appends the clone. There is a second try where the shim may make room.
func (b *birth) clone(p *fork.Program, call fork.Step) {
	if !b.room {
		p.Add(call)
		p.Add(fork.Step{For: "go on", NR: fork.OpNop, OK: "process"})
		return
	}
	first := call
	first.Fail = "no room"
	if fault.InChild("room.none") {
		first = fork.Step{For: b.what, NR: fork.OpNop, OK: "no room"}
	}
	p.Add(first)
	p.Add(fork.Step{For: "go on", NR: fork.OpNop, OK: "process"})
	p.Mark("no room")
	ask := fork.Mem(fork.New(p, byte(msgRoom)), "'R'")
	p.Call("ask for room", unix.SYS_WRITE, fork.FD(b.conn.Fd(), "socket"), ask, fork.Int(1))
	wait(p, b.conn, msgRoom, "wait for room")
	p.Add(call)
	p.Add(fork.Step{For: "go on", NR: fork.OpNop, OK: "process"})
}

// makeRoom answers a forerunner that asks for room, and puts what it clones into the
// exec's cgroup. Where there is no room to be made, as where the shim may not trace, the
// forerunner reports why its clone fails. After an error only the forerunner is left.
func (x *execer) makeRoom() error {
	if err := x.conn.AskSenders(); err != nil { // for what the forerunner sends next
		return err
	}
	return sys.OnThread(func() error { // which ends, and with it whatever it still traces
		forerunner := x.forerunner.Pid
		if err := sys.Trace(forerunner); err != nil {
			return x.conn.Send([]byte{msgRoom})
		}
		_ = x.place.MoveOut(forerunner) // or the next clone fails likewise
		fault.Point("room.made")
		if err := x.conn.Send([]byte{msgRoom}); err != nil {
			return err
		}
		pid, err := sys.TracedClone(forerunner)
		if pid == 0 {
			return err
		}
		fault.Point("room.cloned")
		if err == nil {
			err = x.moveIn(pid)
		}
		fault.Point("room.entered")
		if err != nil {
			return errors.Join(err, endUnknown(pid))
		}
		return errors.Join(sys.Untrace(pid), sys.Untrace(forerunner))
	})
}

// moveIn moves a process into the exec's cgroup. What has killed that group meanwhile,
// and not the process, has killed init as well.
func (x *execer) moveIn(pid int) error {
	if err := x.place.MoveIn(pid); err != nil && !errors.Is(err, unix.ESRCH) { // or it is dead
		return fmt.Errorf("%s: %w", whatExec, sys.LimitError(err))
	}
	if sys.PidfdDying(x.c.init.pidfd) {
		return unix.ESRCH
	}
	return nil
}
