// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/sys"
)

// Messages between the shim and init, in their order; one byte each, with
// descriptors where it says so.
//
//	init                       shim
//	  --- 'N' -----------------> its namespaces are made     (unshared)
//	  --- 'P' + pidfd ---------> the process proper was cloned (forerunner.go)
//	  <-- 'P' ------------------ its pidfd has arrived
//	  <-- 'U' ------------------ the id maps are written     (new user namespace)
//	  <-- 'F' + fs context ----- of a procfs                 (procfs.go)
//	  --- 'M' + mounts, pty ---> superblocks are made    (again for more than one message takes)
//	  <-- 'A' ------------------ the root is in place
//	  <-- 'T' + pty ------------ (terminal that init could not open itself)
//	  --- 'H' + /etc/passwd ---> (no HOME in the environment; home.go)
//	  --- 'P' + pidfd ---------> init was cloned             (joined pid namespace)
//	  <-- 'P' ------------------ its pidfd has arrived
//	  --- 'C' -----------------> created
//	  <-- 'S' + HOME=... ------- Start
//	  --- 'L' + number --------> seccomp listener (action NOTIFY; seccomp.go)
//	  <-- 'L' ------------------ the agent has it
//	  --- EOF -----------------> execve
const (
	msgEntered  = 'N'
	msgMapped   = 'U'
	msgReborn   = 'P'
	msgMounts   = 'M'
	msgAttached = 'A'
	msgCreated  = 'C'
	msgStart    = 'S'
)

// initPlan is everything that the compilation of init's program reads. It is
// pure: the descriptors in it are only numbers to it.
type initPlan struct {
	prog     *fork.Program // to be filled
	spec     *specs.Spec
	ns       *namespaces
	conn     *sys.Conn // init's end
	proc     *os.File  // the host's procfs
	supers   []mount.Superblock
	pty      int  // index of the superblock to open the terminal in, -1: none
	chroot   bool // the shim does not pivot: init changes its root itself
	identity identity
	home     *[homeLen]byte // where 'S' puts HOME=; nil: it is not looked up
	tasks    []*os.File     // of resctrl groups to join
	given    bool           // the shim gives the contexts of procfs (procfs.go)
	foreign  bool           // another program writes the id maps of the new user namespace
}

// program compiles init's steps.
func (ip *initPlan) program() *fork.Program {
	p := ip.prog
	unmapped(p, ip.foreign && !ip.ns.late())
	keep := append(append([]*os.File{ip.proc, ip.identity.null}, ip.identity.stdio[:]...), ip.tasks...)
	for _, f := range ip.ns.join {
		keep = append(keep, f)
	}
	p.KeepOnly(ip.conn, keep...)
	p.Hold("create.in-child-born")
	joinResctrl(p, ip.tasks)
	ip.enter(p)
	ip.userSysctls(p)
	ip.identity.lsm.open(p, ip.proc)
	if ip.home == nil {
		p.Call("close procfs", unix.SYS_CLOSE, fork.FD(ip.proc.Fd(), "proc"))
	}
	ip.network(p)
	ip.names(p)
	p.Hold("create.in-child-named")
	ip.superblocks(p)
	ip.attached(p)
	if ip.home != nil {
		sendPasswd(p, ip.conn, ip.proc)
		p.Call("close procfs", unix.SYS_CLOSE, fork.FD(ip.proc.Fd(), "proc"))
	}
	p.Hold("create.in-child-attached")
	// A created container may be looked at for as long as it pleases: init holds nothing
	// at the gate but its streams and the socket.
	gate := func() {
		p.Call("report created", unix.SYS_SENDTO, fork.FD(ip.conn.Fd(), "socket"), message(p, msgCreated), fork.Int(1), fork.Int(unix.MSG_NOSIGNAL))
		takeHome(p, ip.conn, msgStart, ip.home, "wait for start")
	}
	if ip.ns.joinsPID() {
		b := &birth{conn: ip.conn, what: whatBorn}
		b.held[0] = func() { p.Hold("share.in-child-cloned") }
		b.held[1] = func() { p.Hold("share.in-child-handed-over") }
		b.held[2] = func() { p.Hold("share.in-child-born") }
		ip.identity.forerunSteps(p, b, gate)
	} else {
		ip.identity.steps(p, func() {
			leaveOnly(p, ip.conn)
			gate()
		})
	}
	return p
}

func message(p *fork.Program, m byte) fork.Arg {
	return fork.Mem(fork.New(p, m), strconv.QuoteRune(rune(m)))
}

// enter brings the process into its namespaces, as root of its user namespace.
func (ip *initPlan) enter(p *fork.Program) {
	for _, n := range nsFlags {
		f := ip.ns.join[n.flag]
		if f == nil {
			continue
		}
		// A pid namespace is that of the children from here on (setns(2)).
		p.Call("join "+string(n.kind)+" namespace "+f.Name(), unix.SYS_SETNS, fork.FD(f.Fd(), string(n.kind)), fork.Hex(n.flag))
		if n.flag != unix.CLONE_NEWPID { // superblocks need it
			p.Call("close "+string(n.kind)+" namespace", unix.SYS_CLOSE, fork.FD(f.Fd(), string(n.kind)))
		}
		if n.flag == unix.CLONE_NEWUTS {
			ip.uts(p)
		}
	}
	if ip.ns.joinsUser() {
		becomeRoot(p)
	}
	ip.reborn(p)
	ip.unshare(p)
	if ip.ns.create&unix.CLONE_NEWUSER != 0 {
		wait(p, ip.conn, msgMapped, "wait for id maps")
		mapped(p, ip.foreign)
		becomeRoot(p)
		if ip.ns.create&unix.CLONE_NEWIPC != 0 {
			p.Call("make ipc namespace", unix.SYS_UNSHARE, fork.Hex(unix.CLONE_NEWIPC))
		}
	}
	if ip.ns.create&unix.CLONE_NEWCGROUP != 0 {
		p.Call("make cgroup namespace", unix.SYS_UNSHARE, fork.Hex(unix.CLONE_NEWCGROUP))
	}
}

// reborn clones init proper from a process that has joined namespaces: a user
// namespace, so that the new ones belong to it, or those of others, before a user
// namespace of its own takes away the right to. CLONE_PARENT makes the new process a
// child of the shim.
func (ip *initPlan) reborn(p *fork.Program) {
	flags := ip.ns.later()
	if flags == 0 {
		return
	}
	p.Hold("join.in-child-joined")
	b := birth{conn: ip.conn, flags: flags, what: whatBorn}
	b.held[0] = func() { p.Hold("join.in-child-cloned") }
	b.held[1] = func() { p.Hold("join.in-child-handed-over") }
	b.held[2] = func() {
		p.Hold("join.in-child-reborn")
		unmapped(p, ip.foreign)
	}
	b.ready(p)
	b.steps(p)
}

const whatBorn = "clone init"

// unshare makes the new namespaces of a process that has joined a pid namespace for its
// children, and tells the shim.
func (ip *initPlan) unshare(p *fork.Program) {
	flags := ip.ns.unshared()
	if flags == 0 {
		return
	}
	p.Hold("share.in-child-joined")
	p.Call("make namespaces", unix.SYS_UNSHARE, fork.Hex(flags))
	unmapped(p, ip.foreign)
	p.Call("report namespaces", unix.SYS_SENDTO, fork.FD(ip.conn.Fd(), "socket"), message(p, msgEntered), fork.Int(1), fork.Int(unix.MSG_NOSIGNAL))
}

// wait receives one byte, which must be tag.
func wait(p *fork.Program, conn *sys.Conn, tag byte, what string) {
	buf := fork.New(p, [1]byte{})
	p.Call(what, unix.SYS_RECVFROM, fork.FD(conn.Fd(), "socket"), fork.Mem(buf, "buf"), fork.Int(1))
	p.Expect(what, &buf[0], tag, unix.EPIPE)
}

// network sets the loopback interface of a new network namespace up.
func (ip *initPlan) network(p *fork.Program) {
	if !newNamespace(ip.spec, specs.NetworkNamespace) {
		return
	}
	s := p.NewReg()
	ifr := fork.New(p, struct {
		Name  [unix.IFNAMSIZ]byte
		Flags uint16
		_     [22]byte
	}{Flags: unix.IFF_UP})
	copy(ifr.Name[:], "lo")
	p.Add(fork.Step{For: "open socket", NR: unix.SYS_SOCKET, Args: []fork.Arg{fork.Int(unix.AF_INET), fork.Int(unix.SOCK_DGRAM | unix.SOCK_CLOEXEC), fork.Int(0)}, Out: s})
	p.Call("set lo up", unix.SYS_IOCTL, fork.Ref(s), fork.Hex(unix.SIOCSIFFLAGS), fork.Mem(ifr, "{lo IFF_UP}"))
	p.Call("close socket", unix.SYS_CLOSE, fork.Ref(s))
}

// names sets the host and domain name of a new uts namespace.
func (ip *initPlan) names(p *fork.Program) {
	if ip.ns.create&unix.CLONE_NEWUTS != 0 {
		ip.uts(p)
	}
}

func (ip *initPlan) uts(p *fork.Program) {
	if h := ip.spec.Hostname; h != "" {
		p.Call("set hostname to "+h, unix.SYS_SETHOSTNAME, fork.Str(h), fork.Int(len(h)))
	}
	if d := ip.spec.Domainname; d != "" {
		p.Call("set domainname to "+d, unix.SYS_SETDOMAINNAME, fork.Str(d), fork.Int(len(d)))
	}
}

// attached waits until the shim has put the root together and moved this process
// into it.
func (ip *initPlan) attached(p *fork.Program) {
	wait(p, ip.conn, msgAttached, "wait for the root file system")
	if ip.chroot {
		// The root is mounted on top of the old one, which nothing pivots away:
		// ".." of / leads to what is on top.
		p.Call("enter the root file system", unix.SYS_CHDIR, fork.Str("/.."))
		p.Call("enter the root file system", unix.SYS_CHROOT, fork.Str("."))
	}
	if ip.spec.Process.Terminal && ip.pty < 0 {
		ip.takeTerminal(p)
	}
}

// takeTerminal receives the slave of a pty that the shim opened, where /dev/pts is
// no devpts of the container's own making.
func (ip *initPlan) takeTerminal(p *fork.Program) {
	msg := fork.NewRights(p, 1)
	ip.identity.terminal = msg.Reg(p, 0)
	msg.Receive(p, ip.conn, msgTerminal, "take terminal")
}
