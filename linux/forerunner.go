// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// A forerunner is a child that is never seen in the container's pid namespace. It
// becomes what the container's process is to be, as far as a clone inherits that, and
// then clones the process (birth.steps).
//
// Whoever has CAP_SYS_PTRACE in a pid namespace, and in the user namespace of a
// process that is visible there, can read its memory and its descriptors, walk through
// its root and its working directory, and have it make any system call; it is no help
// that the process is not dumpable (ptrace(2)). So the process is born with nothing
// that is not the container's: its root and namespaces, its user, its capabilities, its
// seccomp filter, its streams, and the socket to the shim.
//
// What comes over that socket may be forged from then on. The shim believes the
// forerunner alone, by the pid that the kernel tells (Conn.RecvFrom); and of the
// process no more than whether its execve has failed.

// forerunSteps appends the identity as a forerunner takes it on, and the rest of it as
// the process itself does; gate, unless it is nil, is where the process waits before its
// execve.
func (id *identity) forerunSteps(p *fork.Program, b *birth, gate func()) {
	id.forerun, id.gated = true, gate != nil
	id.cpus.steps(p)
	id.stream(p)
	id.process(p)
	id.credentials(p)
	id.command.lookUp(p)
	leaveOnly(p, b.conn)
	b.ready(p)
	early := id.filtersEarly()
	if early {
		id.filter.install(p)
		id.drop(p, id.held(false), id.held(true))
	}
	b.steps(p)
	// The forerunner's session has a name in the shim's pid namespace only.
	p.Call("make a session", unix.SYS_SETSID)
	id.control(p)
	setLateRlimits(p, id.proc.Rlimits)
	if id.schedulesLate() {
		setScheduler(p, id.proc.Scheduler)
	}
	if early {
		id.drop(p, id.caps, id.held(false))
	}
	if gate != nil {
		gate()
	}
	if !early {
		id.filter.install(p)
		id.drop(p, id.caps, id.held(true))
	}
	p.Add(id.command.exec)
}

// birth is the clone of a process by its forerunner.
type birth struct {
	conn  *sys.Conn
	flags int       // CLONE_NEW* of namespaces that the process is to be born in
	what  string    // for messages
	wait  *fork.Reg // ends of a pipe
	next  *fork.Reg
	room  bool           // the shim may make room for it in the cgroup (room.go)
	home  *[homeLen]byte // where the shim's answer puts HOME=; nil: there is none in it
	held  [3]func()      // fault points: the process is cloned, is handed over; the process itself
}

// birthFlags make the process a child of the shim, and give the forerunner its pidfd,
// which the process has no copy of.
const birthFlags = unix.CLONE_PARENT | unix.CLONE_PIDFD

// ready appends what comes before the clone: a pipe, at which the process waits.
func (b *birth) ready(p *fork.Program) {
	ends := fork.NewSlice[int32](p, 2)
	b.wait, b.next = p.RegAt(&ends[0]), p.RegAt(&ends[1])
	p.Call(b.what, unix.SYS_PIPE2, fork.MemSlice(ends, "pipe"), fork.Open(unix.O_CLOEXEC))
}

// steps appends the clone, after which the forerunner hands the process over and ends.
// It is an old clone(2), whose flags a seccomp filter can judge: those of container
// engines refuse clone3.
//
// The process waits for both. If the forerunner is killed before it has handed the
// process over, or the shim cannot take it, the process ends: there is none that the
// shim does not know of.
func (b *birth) steps(p *fork.Program) {
	msg, buf := fork.NewRights(p, 1), fork.New(p, byte(0))
	pid, handOver := msg.SendNumber(p, b.conn, msgReborn, "hand over the process")
	b.clone(p, fork.Step{
		For: b.what, NR: unix.SYS_CLONE, Positive: "forerunner", Out: pid,
		Args: []fork.Arg{fork.Hex(birthFlags | b.flags), fork.Int(0), msg.At(0)},
	})
	p.Mark("forerunner")
	b.held[0]()
	handOver()
	b.held[1]()
	p.Call("let the process go on", unix.SYS_WRITE, fork.Ref(b.next), fork.Mem(buf, "buf"), fork.Int(1))
	p.Call("exit", unix.SYS_EXIT_GROUP)
	p.Mark("process")
	b.held[2]()
	const what = "wait for the forerunner"
	p.Call(what, unix.SYS_CLOSE, fork.Ref(b.next))
	p.Add(fork.Step{For: what, NR: unix.SYS_READ, Args: []fork.Arg{fork.Ref(b.wait), fork.Mem(buf, "buf"), fork.Int(1)}, Want: 1, Check: true})
	p.Call(what, unix.SYS_CLOSE, fork.Ref(b.wait))
	takeHome(p, b.conn, msgReborn, b.home, "wait for the shim")
}

// born waits for the process that a forerunner clones, and lets it go on with home, of
// receiveHome or nil. It is a child
// of the shim that only the caller knows. After an error there may be one that ends by itself.
// Precondition: conn.AskSenders, and own.hold.
func (f forerunner) born(conn *sys.Conn, prog *fork.Program, home []byte) (*fork.Child, error) {
	child, err := f.take(conn, prog)
	if err != nil {
		return nil, err
	}
	if err := conn.Send(append([]byte{msgReborn}, home...)); err != nil {
		return nil, errors.Join(err, abandon(child))
	}
	return child, nil
}

// take is born without the message that lets the process go on.
func (f forerunner) take(conn *sys.Conn, prog *fork.Program) (*fork.Child, error) {
	msg, files, err := conn.RecvFrom(f.Pid)
	if err == nil && f.makeRoom != nil && len(msg) == 1 && msg[0] == msgRoom {
		if err = f.makeRoom(); err != nil {
			return nil, err
		}
		msg, files, err = conn.RecvFrom(f.Pid)
	}
	pid := 0
	switch {
	case errors.Is(err, io.EOF):
		err = unix.EPIPE // the forerunner was killed
	case len(msg) == fork.NumberLen && msg[0] == msgReborn:
		pid = int(int32(binary.NativeEndian.Uint32(msg[1:])))
	case err == nil:
		if err = prog.Failure(msg); err != nil {
			return nil, err
		}
	}
	if err == nil && (pid <= 0 || len(files) != 1) {
		err = fmt.Errorf("unexpected message %q with %d descriptors", msg, len(files))
	}
	var pidfd *os.File
	if err == nil {
		err = sys.PidfdIsChild(files[0])
	}
	if err == nil {
		pidfd, err = sys.Pollable(files[0])
	}
	if err != nil {
		closeAll(files)
		return nil, errors.Join(fmt.Errorf("take over the process: %w", err), endUnknown(pid))
	}
	child := &fork.Child{Pid: pid, Pidfd: pidfd}
	own.add(pid)
	return child, nil
}

// endUnknown ends a process that the shim could not take. It is by its pid: no pidfd is
// to be had, and nobody waits for children that are not known (own.hold).
func endUnknown(pid int) error {
	if pid <= 0 {
		return nil
	}
	_ = unix.Kill(pid, unix.SIGKILL) // or it is dead
	return sys.Retry(func() error {
		_, err := unix.Wait4(pid, nil, 0, nil)
		return os.NewSyscallError("wait4", err)
	})
}

// forerunner is a forerunner as the shim knows it.
type forerunner struct {
	*fork.Child
	makeRoom func() error // answers it when it asks for room (room.go); nil: it does not
}

// end reaps it. It has nothing more to do.
func (f forerunner) end() {
	if f.Child == nil {
		return
	}
	_, _ = sys.PidfdWait(f.Pidfd) // how it ended says nothing
	own.remove(f.Pid)
	_ = f.Pidfd.Close() // a pidfd
}

// reapLost reaps a process that was lost with its forerunner and ends by itself. If it
// has not yet, its SIGCHLD has it reaped as well.
func reapLost() error {
	own.expectOrphans()
	return Reap()
}
