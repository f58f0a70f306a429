// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// A container that joins a pid namespace has a procfs of that namespace. The process that
// makes its file systems is not in it (forerunner.go), so it says which one it means, by
// the parameter pidns of Linux 6.18. Before that a procfs is of the pid namespace in which
// its file system context was opened: a process that is born there opens one, and hands
// it to the shim, which passes it on.
//
// A pid namespace that can be joined has a first process (fs/nsfs.c shows none that never
// had one), so this process cannot become that.
//
// Whoever has CAP_SYS_PTRACE in the pid namespace can have that process do what it may. So
// it is born with an empty root in namespaces of its own, and with a seccomp filter that
// lets it open a file system context, send it, and exit. The context may be any then: the
// shim asks the kernel for its type before anybody makes a file system of it.

const (
	procfs     = "proc"  // its type
	paramPIDNS = "pidns" // procfs(5)
	// msgContext is the tag of a message with a file system context.
	msgContext = 'F'
	// contextLimit is how long the process may take, which others can stop.
	contextLimit = 10 * time.Second
)

// procfsTakesPIDNS reports whether a procfs has the parameter.
var procfsTakesPIDNS = sync.OnceValue(func() bool {
	own, err := ownPidns()
	if err != nil {
		return false
	}
	fs, err := sys.FSOpen(procfs)
	if err != nil {
		return false
	}
	defer sys.Close(fs)
	return sys.FSFile(fs, paramPIDNS, own) == nil
})

// giveContexts sends init the contexts of its procfs that it waits for.
func (m *maker) giveContexts(ctx context.Context) error {
	if !m.plan.given {
		return nil
	}
	for i := range m.plan.supers {
		if m.plan.supers[i].Type != procfs {
			continue
		}
		f, err := procfsContext(ctx, m.ns.join[unix.CLONE_NEWPID])
		if err != nil {
			return fmt.Errorf("%s: %w", m.plan.supers[i].String(), err)
		}
		err = m.gate.conn.Send([]byte{msgContext}, f)
		closeAll([]*os.File{f})
		if err != nil {
			return err
		}
	}
	return nil
}

// procfsContext returns a file system context of a new procfs of a pid namespace.
func procfsContext(ctx context.Context, pidns *os.File) (*os.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, contextLimit, errors.New("a process in the pid namespace does not go on"))
	defer cancel()
	conn, end, err := fork.Pair()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.AskSenders(); err != nil {
		return nil, err
	}
	var f *os.File
	err = until(ctx, conn, func() (err error) {
		f, err = openContext(conn, end, pidns)
		return err
	})
	if err != nil {
		closeAll([]*os.File{f})
		return nil, err
	}
	return f, nil
}

// openContext has a process opened a context, and takes it.
func openContext(conn, end *sys.Conn, pidns *os.File) (_ *os.File, err error) {
	compiled, err := filters.Compile(contextFilter)
	if err != nil {
		return nil, err
	}
	prog := contextProgram(fork.NewProgram(), end, pidns, &filter{compiled: compiled, conn: end})
	child, err := contextOpener(conn, end, prog)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, abandon(child)) }()
	// Who has the process's end of the socket may send, too.
	if err := conn.AskSenders(); err != nil {
		return nil, err
	}
	if err := conn.Send([]byte{msgReborn}); err != nil {
		return nil, fmt.Errorf("have the procfs of a pid namespace opened: %w", err)
	}
	receive := func() ([]byte, []*os.File, error) { return conn.RecvFrom(child.Pid) }
	files, err := reply(receive, prog, msgContext, "open a file system context")
	if err == nil && len(files) != 1 {
		err = fmt.Errorf("got %d file system contexts, not 1", len(files))
	}
	if err == nil {
		err = sys.FSIs(files[0], procfs)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files[0], nil
}

// contextOpener starts the process, which waits for message 'P'.
func contextOpener(conn, end *sys.Conn, prog *fork.Program) (child *fork.Child, err error) {
	own.hold()
	defer func() { err = errors.Join(err, own.release(err != nil)) }()
	s := spawn{config: fork.Config{Program: prog, Conn: end}}
	first, err := s.run()
	_ = end.Close() // the child has its own
	if err != nil {
		return nil, err
	}
	f := forerunner{Child: first}
	if child, err = f.take(conn, prog); err != nil {
		return nil, errors.Join(err, abandon(first), reapLost())
	}
	f.end()
	return child, nil
}

// contextFilter is the process's seccomp filter, and its forerunner's from the clone on. It
// allows nanosleep for fault points.
var contextFilter = &specs.LinuxSeccomp{
	DefaultAction: specs.ActKillProcess,
	Syscalls: []specs.LinuxSyscall{{
		Names:  []string{"clone", "close", "read", "recvfrom", "sendto", "sendmsg", "write", "fsopen", "exit_group", "nanosleep"},
		Action: specs.ActAllow,
	}},
}

// contextProgram compiles the steps of the forerunner, and of the process.
func contextProgram(p *fork.Program, conn *sys.Conn, pidns *os.File, f *filter) *fork.Program {
	undumpable(p)
	p.KeepOnly(conn, pidns)
	p.Call("join pid namespace "+pidns.Name(), unix.SYS_SETNS, fork.FD(pidns.Fd(), "pid"), fork.Hex(unix.CLONE_NEWPID))
	const apart = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	p.Call("leave the host's namespaces", unix.SYS_UNSHARE, fork.Hex(apart))
	emptyRoot(p)
	leaveOnly(p, conn)
	caps := capPlan{effective: 1 << unix.CAP_SYS_ADMIN, permitted: 1 << unix.CAP_SYS_ADMIN}
	header, data := capset(p, caps)
	p.Call("drop capabilities", unix.SYS_CAPSET, header, data)
	b := birth{conn: conn, what: "clone the opener of a file system context"}
	b.held[0], b.held[1] = func() {}, func() {}
	b.held[2] = func() { p.Hold("procfs.in-child-born") }
	b.ready(p)
	f.install(p)
	b.steps(p)
	msg := fork.NewRights(p, 1)
	const what = "open a file system context"
	p.Add(fork.Step{For: what, NR: unix.SYS_FSOPEN, Args: []fork.Arg{fork.Str(procfs), fork.Hex(unix.FSOPEN_CLOEXEC)}, Out: msg.Reg(p, 0)})
	msg.Send(p, conn, msgContext, what)
	p.Call("exit", unix.SYS_EXIT_GROUP)
	return p
}

// emptyRoot gives a process, whose mount namespace is new, a root with nothing in it and
// nothing below it. On the kernel's first root, that of an initramfs, which cannot be
// pivoted away (pivot_root(2)), the old mounts stay below the new one.
func emptyRoot(p *fork.Program) {
	const what = "make an empty root"
	fs, tree, old := p.NewReg(), p.NewReg(), p.NewReg()
	attrs := unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	p.Call(what, unix.SYS_MOUNT, fork.Int(0), fork.Str("/"), fork.Int(0), fork.Hex(unix.MS_REC|unix.MS_PRIVATE), fork.Int(0))
	p.Add(fork.Step{For: what, NR: unix.SYS_OPENAT, Args: []fork.Arg{fork.Int(unix.AT_FDCWD), fork.Str("/"), fork.Open(unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC)}, Out: old})
	p.Add(fork.Step{For: what, NR: unix.SYS_FSOPEN, Args: []fork.Arg{fork.Str("tmpfs"), fork.Hex(unix.FSOPEN_CLOEXEC)}, Out: fs})
	p.Call(what, unix.SYS_FSCONFIG, fork.Ref(fs), fork.Int(unix.FSCONFIG_CMD_CREATE))
	p.Add(fork.Step{For: what, NR: unix.SYS_FSMOUNT, Args: []fork.Arg{fork.Ref(fs), fork.Hex(unix.FSMOUNT_CLOEXEC), fork.Hex(attrs)}, Out: tree})
	p.Call(what, unix.SYS_MOVE_MOUNT, fork.Ref(tree), fork.Str(""), fork.Int(unix.AT_FDCWD), fork.Str("/"), fork.Hex(unix.MOVE_MOUNT_F_EMPTY_PATH))
	p.Call(what, unix.SYS_FCHDIR, fork.Ref(tree))
	p.Add(fork.Step{For: what, NR: unix.SYS_PIVOT_ROOT, Args: []fork.Arg{fork.Str("."), fork.Str(".")}, Fail: "no pivot"})
	p.Call(what, unix.SYS_FCHDIR, fork.Ref(old))
	p.Call(what, unix.SYS_UMOUNT2, fork.Str("."), fork.Int(unix.MNT_DETACH))
	p.Mark("no pivot")
	p.Call(what, unix.SYS_FCHDIR, fork.Ref(tree))
	p.Call(what, unix.SYS_CHROOT, fork.Str("."))
}
