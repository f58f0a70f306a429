// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// execPlan is everything that the compilation of an exec's program reads.
type execPlan struct {
	prog     *fork.Program // to be filled
	conn     *sys.Conn
	proc     *os.File       // the host's procfs
	init     *os.File       // the container's init, a pidfd
	joins    int            // CLONE_NEW* flags of the namespaces to enter
	userns   bool           // one of them is a user namespace
	mark     bool           // it makes a mark (tree.go)
	root     *os.File       // the container's root where it is not the root of its mount namespace; nil otherwise
	tasks    []*os.File     // of resctrl groups to join
	home     *[homeLen]byte // where 'P' puts HOME=; nil: it is not looked up
	identity identity
}

// program compiles the steps of the exec's forerunner and of the exec.
func (ep *execPlan) program() *fork.Program {
	p := ep.prog
	undumpable(p)
	p.KeepOnly(ep.conn, append(append([]*os.File{ep.proc, ep.init, ep.root, ep.identity.null}, ep.identity.stdio[:]...), ep.tasks...)...)
	p.Hold("exec.in-child-born")
	joinResctrl(p, ep.tasks)
	setOOMScore(p, ep.proc, ep.identity.proc.OOMScoreAdj)
	ep.identity.lsm.open(p, ep.proc)
	if ep.home == nil {
		p.Call("close procfs", unix.SYS_CLOSE, fork.FD(ep.proc.Fd(), "proc"))
	}
	// One call for all: the kernel enters the user namespace first and needs no
	// order from us (setns(2), Linux 5.8). The pid namespace is that of the clone.
	p.Call("enter the container's namespaces", unix.SYS_SETNS, fork.FD(uintptr(sys.FD(ep.init)), "init"), fork.Hex(ep.joins))
	p.Call("close the container's init", unix.SYS_CLOSE, fork.FD(uintptr(sys.FD(ep.init)), "init"))
	if ep.mark {
		makeMark(p)
	}
	p.Hold("exec.in-child-entered")
	if ep.root != nil {
		p.Call("enter the container's root", unix.SYS_FCHDIR, fork.FD(ep.root.Fd(), "root"))
		p.Call("enter the container's root", unix.SYS_CHROOT, fork.Str("."))
	}
	if ep.userns {
		becomeRoot(p)
	}
	if ep.identity.proc.Terminal {
		ep.terminal(p)
	}
	if ep.home != nil {
		sendPasswd(p, ep.conn, ep.proc)
		p.Call("close procfs", unix.SYS_CLOSE, fork.FD(ep.proc.Fd(), "proc"))
	}
	b := birth{conn: ep.conn, what: whatExec, room: true, home: ep.home}
	b.held[0] = func() { p.Hold("exec.in-child-cloned") }
	b.held[1] = func() { p.Hold("exec.in-child-handed-over") }
	b.held[2] = func() { p.Hold("exec.in-child-reborn") }
	ep.identity.forerunSteps(p, &b, nil)
	return p
}

// terminal opens a pty in the container's devpts, and gives the shim its master.
func (ep *execPlan) terminal(p *fork.Program) {
	msg := fork.NewRights(p, 1)
	master, slave := msg.Reg(p, 0), p.NewReg()
	openMaster(p, master)
	msg.Send(p, ep.conn, msgTerminal, "hand over terminal")
	peer(p, master, slave)
	ep.identity.terminal = slave
}

// setOOMScore sets oom_score_adj, if adj is there, while the child has the shim's
// privileges. proc is the host's procfs.
func setOOMScore(p *fork.Program, proc *os.File, adj *int) {
	if adj == nil {
		return
	}
	value := strconv.Itoa(*adj)
	what := "set oom_score_adj to " + value
	fd := p.NewReg()
	p.Add(fork.Step{For: what, NR: unix.SYS_OPENAT, Args: []fork.Arg{fork.FD(proc.Fd(), "proc"), fork.Str("self/oom_score_adj"), fork.Open(unix.O_WRONLY | unix.O_CLOEXEC)}, Out: fd})
	p.Call(what, unix.SYS_WRITE, fork.Ref(fd), fork.Str(value), fork.Int(len(value)))
	p.Call(what, unix.SYS_CLOSE, fork.Ref(fd))
}
