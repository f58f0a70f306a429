// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// identity is what a child does to become the container's process, from its
// standard streams to the look-up of its command. Init and exec share it.
type identity struct {
	proc     *specs.Process
	stdio    [3]*os.File // by descriptor; nil entries are null
	null     *os.File    // what null returns
	terminal *fork.Reg   // pty slave, or nil
	caps     capPlan
	lastCap  int
	keyring  keyring
	lsm      lsm
	forerun  bool // another process takes the identity on, and clones this one then
	gated    bool // the process waits for Start behind its birth
	cpus     affinity
	person   *specs.LinuxPersonality // or nil
	memory   *memoryPolicy           // or nil
	noGroups bool                    // the user namespace denies setgroups
	filter   filter
	command  *command
}

// steps appends the identity of a process that takes it on by itself; tail appends
// what stands between the look-up and the execve.
func (id *identity) steps(p *fork.Program, tail func()) {
	id.cpus.steps(p)
	id.stream(p)
	id.control(p)
	id.process(p)
	id.credentials(p)
	id.command.lookUp(p)
	tail()
	id.filter.install(p)
	id.drop(p, id.caps, id.held(true))
	p.Add(id.command.exec)
}

// stream makes a session and puts stdin, stdout and stderr in place. Pipes go to the
// container's user, so that it can open /dev/stderr again, as with runc; a user namespace may
// forbid it, which is no error.
func (id *identity) stream(p *fork.Program) {
	p.Call("make a session", unix.SYS_SETSID)
	null := id.openNull(p)
	for fd, f := range id.stdio {
		what := fmt.Sprintf("set file descriptor %d", fd)
		switch {
		case id.terminal != nil:
			p.Call(what, unix.SYS_DUP3, fork.Ref(id.terminal), fork.Int(fd))
		case f == nil:
			p.Call(what, unix.SYS_DUP3, fork.Ref(null), fork.Int(fd))
		default:
			p.Call(what, unix.SYS_DUP3, fork.FD(f.Fd(), "stdio"), fork.Int(fd))
			if sys.IsPipe(f) {
				id.tryChown(p, fd)
			}
		}
	}
	if id.terminal != nil {
		id.tryChown(p, 0)
	}
}

// control makes the terminal the session's.
func (id *identity) control(p *fork.Program) {
	if id.terminal != nil {
		p.Call("make the terminal controlling", unix.SYS_IOCTL, fork.Int(0), fork.Hex(unix.TIOCSCTTY))
	}
}

// tryChown gives descriptor fd to the container's user.
func (id *identity) tryChown(p *fork.Program, fd int) {
	done := fmt.Sprintf("owned %d", fd)
	p.Add(fork.Step{For: done, NR: unix.SYS_FCHOWN, Args: []fork.Arg{fork.Int(fd), fork.Int(id.proc.User.UID), fork.Int(-1)}, Fail: done})
	p.Mark(done)
}

// process sets what is no credential and needs the shim's privileges.
func (id *identity) process(p *fork.Program) {
	setRlimits(p, id.proc.Rlimits, id.forerun)
	if !id.schedulesLate() {
		setScheduler(p, id.proc.Scheduler)
	}
	setIOPriority(p, id.proc.IOPriority)
	setPersonality(p, id.person)
	id.memory.steps(p)
	id.lsm.labelKeys(p)
	id.keyring.join(p)
	id.lsm.onExec(p)
	if id.proc.NoNewPrivileges {
		p.Call("set no_new_privs", unix.SYS_PRCTL, fork.Int(unix.PR_SET_NO_NEW_PRIVS), fork.Int(1))
	}
}

// credentials changes directory and user.
//
// chdir is tried before the change of user and again after it, as either may be
// the one with the permission; then the directory must be inside the container's
// root: getcwd(2) prefixes "(unreachable)" when it is not (CVE-2024-21626).
func (id *identity) credentials(p *fork.Program) {
	cwd := id.proc.Cwd
	p.Add(fork.Step{For: "enter " + cwd, NR: unix.SYS_CHDIR, Args: []fork.Arg{fork.Str(cwd)}, Fail: "not entered yet"})
	p.Skip("enter as user")
	p.Mark("not entered yet")
	dropBounding(p, id.caps, id.lastCap)
	p.Call("keep capabilities", unix.SYS_PRCTL, fork.Int(unix.PR_SET_KEEPCAPS), fork.Int(1))
	id.setUser(p)
	p.Add(fork.Step{Name: "enter as user", For: "enter " + cwd, NR: unix.SYS_CHDIR, Args: []fork.Arg{fork.Str(cwd)}})

	buf := fork.New(p, [unix.PathMax]byte{})
	p.Call("find the working directory", unix.SYS_GETCWD, fork.Mem(buf, "buf"), fork.Int(len(buf)))
	p.Expect("enter "+cwd+": it is outside the root", &buf[0], '/', unix.EXDEV)
	setCapabilities(p, id.held(true))
	// A change of credentials may have made the child dumpable again.
	undumpable(p)
}

// setUser changes groups, gid, uid and umask.
func (id *identity) setUser(p *fork.Program) {
	u := id.proc.User
	id.setGroups(p)
	p.Call(fmt.Sprintf("become group %d", u.GID), unix.SYS_SETRESGID, fork.Int(u.GID), fork.Int(u.GID), fork.Int(u.GID))
	p.Call(fmt.Sprintf("become user %d", u.UID), unix.SYS_SETRESUID, fork.Int(u.UID), fork.Int(u.UID), fork.Int(u.UID))
	umask := uint32(0o022) // runc's default
	if u.Umask != nil {
		umask = *u.Umask
	}
	p.Call("set umask", unix.SYS_UMASK, fork.Int(umask))
}

// becomeRoot takes the ids of root inside a user namespace, without which the
// process cannot use what it was given there (runc does the same). A namespace
// that has no id 0 keeps the overflow id and its full capabilities.
func becomeRoot(p *fork.Program) {
	p.Add(fork.Step{For: "become root group", NR: unix.SYS_SETRESGID, Args: []fork.Arg{fork.Int(0), fork.Int(0), fork.Int(0)}, Fail: "no gid 0"})
	p.Mark("no gid 0")
	p.Add(fork.Step{For: "become root", NR: unix.SYS_SETRESUID, Args: []fork.Arg{fork.Int(0), fork.Int(0), fork.Int(0)}, Fail: "no uid 0"})
	p.Mark("no uid 0")
	undumpable(p)
}

// undumpable keeps others from attaching to the child, whose memory is a copy of
// the shim's, before execve (CVE-2016-9962). execve makes the process dumpable
// again as its new program deserves.
func undumpable(p *fork.Program) {
	p.Call("forbid ptrace", unix.SYS_PRCTL, fork.Int(unix.PR_SET_DUMPABLE))
}

// leaveOnly closes every descriptor but the standard ones and the socket, which
// is close-on-exec. It is not enough that execve closes them: by then it has
// looked its file and its interpreter up, for which any of them is a way out of
// the root, as /proc/self/fd/N (CVE-2024-21626).
func leaveOnly(p *fork.Program, conn *sys.Conn) { p.KeepOnly(conn) }
