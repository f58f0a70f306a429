// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/sys"
)

// msgCopied is the last word of a copier.
const msgCopied = 'K'

// copier makes the copies of the mount option tmpcopyup. It is a child in the
// container's cgroup, so that what it writes, and the pages of what it reads, are
// charged to the container and not to the shim; a memory limit that is too low for
// them ends it.
//
// It is on the host but for that: it knows descriptors only, and an init that had
// them would hand them to the container.
type copier struct {
	group    *os.File // cgroup
	uid, gid uint32   // whom new files belong to at first
	userns   bool     // those are not the shim's
}

// run makes the copies, in their order, in the directory to.
//
// The caller's thread is in the container's cgroup namespace, from where the kernel
// lets nobody into the cgroup who is outside (cgroup_namespaces(7)).
func (c *copier) run(to *os.File, batch []mount.Copy) error {
	return onHost(func() error { return c.spawn(to, batch) })
}

func (c *copier) spawn(to *os.File, batch []mount.Copy) error {
	conn, end, err := fork.Pair()
	if err != nil {
		return err
	}
	defer conn.Close()
	prog := c.program(fork.NewProgram(), end, to, batch)
	s := spawn{config: fork.Config{Cgroup: c.group, Program: prog, Conn: end}}
	child, err := s.run()
	_ = end.Close() // the child has its own
	if err != nil {
		return err
	}
	fault.Point("copyup.cloned")
	_, err = reply(conn.Recv, prog, msgCopied, "copy up")
	if aerr := abandon(child); err == nil {
		err = aerr
	}
	return err
}

func (c *copier) program(p *fork.Program, conn *sys.Conn, to *os.File, batch []mount.Copy) *fork.Program {
	undumpable(p)
	keep := []*os.File{to}
	for i := range batch {
		keep = append(keep, batch[i].From)
	}
	p.KeepOnly(conn, keep...)
	p.Call("set umask", unix.SYS_UMASK, fork.Int(0))
	if c.userns {
		c.takeIDs(p)
	}
	dir := fork.FD(uintptr(sys.FD(to)), "tmpfs")
	for i := range batch {
		copySteps(p, dir, &batch[i])
	}
	p.Hold("copyup.in-child-copied")
	p.Call("report", unix.SYS_SENDTO, fork.FD(conn.Fd(), "socket"), message(p, msgCopied), fork.Int(1), fork.Int(unix.MSG_NOSIGNAL))
	p.Call("exit", unix.SYS_EXIT_GROUP)
	return p
}

// takeIDs makes new files belong to the container's root (see sys.SetFSIDs):
// setfsuid(2) tells only the id before, so each is called twice.
func (c *copier) takeIDs(p *fork.Program) {
	for _, id := range []struct {
		what string
		nr   uintptr
		id   uint32
	}{{"group", unix.SYS_SETFSGID, c.gid}, {"user", unix.SYS_SETFSUID, c.uid}} {
		what := fmt.Sprintf("make files of %s %d", id.what, id.id)
		p.Call(what, id.nr, fork.Int(id.id))
		p.Add(fork.Step{For: what, NR: id.nr, Args: []fork.Arg{fork.Int(id.id)}, Want: uintptr(id.id), Check: true})
	}
	held := heldCaps()
	header, sets := capset(p, capPlan{effective: held, permitted: held})
	p.Call("keep capabilities", unix.SYS_CAPSET, header, sets)
}

// copySteps makes one file.
func copySteps(p *fork.Program, dir fork.Arg, one *mount.Copy) {
	what, name := "copy up "+one.Name, fork.Str(one.Name)
	switch kind := one.Stat.Mode & unix.S_IFMT; {
	case one.Filled:
		metaSteps(p, dir, one)
	case kind == unix.S_IFDIR:
		p.Call(what, unix.SYS_MKDIRAT, dir, name, fork.Int(0o700))
	case kind == unix.S_IFREG:
		contentSteps(p, dir, one)
		metaSteps(p, dir, one)
	case kind == unix.S_IFLNK:
		p.Call(what, unix.SYS_SYMLINKAT, fork.Str(one.Link), dir, name)
		metaSteps(p, dir, one)
	default: // a fifo, a device, a socket
		p.Call(what, unix.SYS_MKNODAT, dir, name, fork.Int(one.Stat.Mode), fork.Int(one.Stat.Rdev))
		metaSteps(p, dir, one)
	}
}

// contentSteps makes a file with its contents.
func contentSteps(p *fork.Program, dir fork.Arg, one *mount.Copy) {
	what := "copy up " + one.Name
	out := p.NewReg()
	p.Add(fork.Step{For: what, NR: unix.SYS_OPENAT, Args: []fork.Arg{dir, fork.Str(one.Name), fork.Open(unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_CLOEXEC), fork.Int(0o600)}, Out: out})
	more := "more of " + one.Name
	p.Mark(more)
	p.Add(fork.Step{For: what, NR: unix.SYS_SENDFILE, Args: []fork.Arg{fork.Ref(out), fork.FD(uintptr(sys.FD(one.From)), "file"), fork.Int(0), fork.Int(math.MaxInt32)}, Positive: more})
	p.Call(what, unix.SYS_CLOSE, fork.Ref(out))
}

// metaSteps gives a copy the owner, the mode and the times of its original.
func metaSteps(p *fork.Program, dir fork.Arg, one *mount.Copy) {
	what, name, st := "copy up "+one.Name, fork.Str(one.Name), &one.Stat
	p.Call(what, unix.SYS_FCHOWNAT, dir, name, fork.Int(st.Uid), fork.Int(st.Gid), fork.Int(unix.AT_SYMLINK_NOFOLLOW))
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		p.Call(what, unix.SYS_FCHMODAT, dir, name, fork.Int(st.Mode&0o7777))
	}
	times := fork.New(p, [2]unix.Timespec{st.Atim, st.Mtim})
	p.Call(what, unix.SYS_UTIMENSAT, dir, name, fork.Mem(times, "times"), fork.Int(unix.AT_SYMLINK_NOFOLLOW))
}
