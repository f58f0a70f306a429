// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/seccomp"
	"github.com/containerd-mini/mini/linux/sys"
)

// filters finds the filters of this shim's containers: those of a pod mostly have
// the same.
var filters seccomp.Cache

// compileFilter compiles linux.seccomp, if it is there. Of a container that is
// restored it is for the execs; its processes have theirs from criu.
func (m *maker) compileFilter() (err error) {
	s := m.Spec.Linux.Seccomp
	if m.filter, err = filters.Compile(s); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	if m.filter == nil {
		return nil
	}
	for _, flag := range seccomp.Flags {
		if slices.Contains(s.Flags, flag.Name) && !sys.SeccompFlags(flag.Bit|flag.With) {
			return notImplemented("linux.seccomp.flags", "%s on this kernel", flag.Name)
		}
	}
	if m.filter.Notifies() && !filepath.IsAbs(s.ListenerPath) {
		return invalid("linux.seccomp.listenerPath", "%q is not absolute", s.ListenerPath)
	}
	return nil
}

// filter is the seccomp filter of a process on its way to execve.
//
// It is installed as the last thing but the execve: behind the gate, so that
// what the child does itself, which is not the container's business, needs no place in the
// profile. Where a forerunner can, it installs the filter before it clones the process
// (identity.filtersEarly). What it must allow is execve, and:
//
//   - without no_new_privs, capset: the kernel wants CAP_SYS_ADMIN of who installs a
//     filter then, so the process keeps that until it has;
//   - with an action NOTIFY, write and read, for the message below, as runc needs
//     them. An action NOTIFY for write is refused, since nobody would answer it; for read it
//     is not, since by then the agent has the listener.
//
// Should the execve fail, sendto or write tells the shim why (package fork).
type filter struct {
	compiled *seccomp.Filter // nil: none
	conn     *sys.Conn       // the child's end
	nnp      bool            // the process has no_new_privs
}

// msgListener is the child's message with the number of the listener's descriptor,
// and the shim's answer that it has passed it on:
//
//	child                      shim
//	  --- 'L' + number --------> pidfd_getfd; state and listener to the agent
//	  <-- 'L' ------------------
//	  --- EOF -----------------> execve
//
// A number, as a message with a descriptor would take sendmsg, for which profiles
// have NOTIFY.
const msgListener = 'L'

// listenerLen is the length of that message: the tag, then an int32. A report of a
// failure has another one.
const listenerLen = 5

// privileged reports whether the process needs CAP_SYS_ADMIN to install the filter.
func (f *filter) privileged() bool { return f.compiled != nil && !f.nnp }

// install appends the steps.
func (f *filter) install(p *fork.Program) {
	if f.compiled == nil {
		return
	}
	code := fork.NewSlice[unix.SockFilter](p, len(f.compiled.Program))
	copy(code, f.compiled.Program)
	prog := fork.New(p, unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
	msg := fork.New(p, struct {
		_   [3]byte
		tag byte
		fd  int32
	}{tag: msgListener})
	listener := p.RegAt(&msg.fd)
	p.Add(fork.Step{For: "install seccomp filter", NR: unix.SYS_SECCOMP, Args: []fork.Arg{fork.Int(unix.SECCOMP_SET_MODE_FILTER), fork.Hex(uint64(f.compiled.Flags)), fork.Mem(prog, "program")}, Out: listener})
	if f.compiled.Notifies() {
		p.Call(whatListener, unix.SYS_WRITE, fork.FD(f.conn.Fd(), "socket"), fork.Mem(&msg.tag, "'L' listener"), fork.Int(listenerLen))
		answer := fork.New(p, byte(0))
		p.Call("wait for the seccomp agent", unix.SYS_READ, fork.FD(f.conn.Fd(), "socket"), fork.Mem(answer, "buf"), fork.Int(1))
		p.Expect("wait for the seccomp agent", answer, msgListener, unix.EPIPE)
	}
}

// filtersEarly reports whether the forerunner may install the filter: what comes between
// that and the execve must be allowed, as the usual profiles do. Where it is not, the
// process installs the filter itself, and has CAP_SYS_ADMIN until then, if it may get
// new privileges. So it does where there is to be a listener, which the process
// would get a copy of.
func (id *identity) filtersEarly() bool {
	f := id.filter.compiled
	if f == nil || f.Notifies() {
		return false
	}
	calls := [][]uint64{
		{unix.SYS_CLONE, birthFlags},
		{unix.SYS_SENDMSG, 0, 0, unix.MSG_NOSIGNAL},
		{unix.SYS_EXIT_GROUP},
		{unix.SYS_READ, 0, 0, 1},
		{unix.SYS_RECVFROM, 0, 0, 1},
		{unix.SYS_WRITE, 0, 0, 1},
		{unix.SYS_CLOSE},
		{unix.SYS_SETSID},
		{unix.SYS_IOCTL, 0, unix.TIOCSCTTY},
		{unix.SYS_PRLIMIT64},
		{unix.SYS_CAPSET},
	}
	if id.gated {
		calls = append(calls, []uint64{unix.SYS_SENDTO, 0, 0, 1, unix.MSG_NOSIGNAL})
	}
	if id.schedulesLate() {
		calls = append(calls, []uint64{unix.SYS_SCHED_SETATTR})
	}
	for _, call := range calls {
		if !f.Allows(call[0], call[1:]...) {
			return false
		}
	}
	return true
}

const whatListener = "hand over the seccomp listener"

// executed waits until a child that has been let go has come through its execve.
// status is the container's.
func (c *Container) executed(conn *sys.Conn, prog *fork.Program, child *Process, status specs.ContainerState) error {
	if c.filter != nil && c.filter.Notifies() {
		if err := c.listener(conn, prog, child, status); err != nil {
			return err
		}
	}
	return executed(conn, prog)
}

// listener takes the listener of a process that installs a filter with an action
// NOTIFY, and passes it to the agent. The process does not go on before that.
func (c *Container) listener(conn *sys.Conn, prog *fork.Program, child *Process, status specs.ContainerState) error {
	msg, files, err := conn.Recv()
	closeAll(files) // there are none
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s: the process was killed: %w", whatListener, unix.EPIPE)
	case err != nil:
		return fmt.Errorf("%s: %w", whatListener, err)
	case prog.Failure(msg) != nil:
		return prog.Failure(msg)
	case len(msg) != listenerLen || msg[0] != msgListener:
		return fmt.Errorf("%s: unexpected message %q", whatListener, msg)
	}
	fd := int(int32(binary.NativeEndian.Uint32(msg[1:])))
	file, err := sys.PidfdFile(child.pidfd, fd, specs.SeccompFdName)
	if err != nil {
		return fmt.Errorf("%s: %w", whatListener, err)
	}
	defer file.Close()
	if err := c.tellAgent(file, child.pid, status); err != nil {
		return err
	}
	return conn.Send([]byte{msgListener})
}

// agentTimeout bounds how long the agent may take to accept a connection and to
// read what comes, a few hundred bytes: an agent that hangs must not keep a container
// from being killed and deleted.
const agentTimeout = 10 * time.Second

// tellAgent sends the container process state (config-linux.md, "The Container
// Process State") to the agent.
func (c *Container) tellAgent(listener *os.File, pid int, status specs.ContainerState) error {
	s := c.spec.Linux.Seccomp
	state := specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: pid, Metadata: s.ListenerMetadata, State: c.hooks.state,
	}
	state.State.Status, state.State.Pid = status, c.init.pid
	text, err := json.Marshal(state)
	if err == nil {
		err = sys.SendFile(s.ListenerPath, text, listener, agentTimeout)
	}
	if err != nil {
		return fmt.Errorf("hand the seccomp listener to the agent: %w", err)
	}
	return nil
}
