// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/sys"
)

// mountsAtOnce is how many mounts init hands over in one message: beside the last ones
// there is room for the two ends of a terminal.
const mountsAtOnce = sys.MaxFDs - 2

// superblocks makes the filesystems that must belong to the container's
// namespaces: a procfs shows the pid namespace of the process that makes it, a
// sysfs its network namespace, and each belongs to its user namespace. The
// detached mounts go to the shim, which attaches them. They go in as few messages as
// can be, so that init has no more of them open than one message takes.
func (ip *initPlan) superblocks(p *fork.Program) {
	inLast := len(ip.supers)
	if inLast > 0 {
		inLast = (inLast-1)%mountsAtOnce + 1
	}
	count := inLast
	if ip.pty >= 0 {
		count += 2
	}
	last := fork.NewRights(p, count)
	for from := 0; ; from += mountsAtOnce {
		to, msg := from+mountsAtOnce, last
		if to < len(ip.supers) {
			msg = fork.NewRights(p, mountsAtOnce)
		} else {
			to = len(ip.supers)
		}
		mounts := make([]*fork.Reg, to-from)
		for i := range mounts {
			mounts[i] = msg.Reg(p, i)
			ip.superblock(&ip.supers[from+i], mounts[i])
		}
		if ip.pty >= from && ip.pty < to {
			master, slave := last.Reg(p, inLast), last.Reg(p, inLast+1)
			openPTY(p, mounts[ip.pty-from], master, slave)
			ip.identity.terminal = slave
		}
		msg.Send(p, ip.conn, msgMounts, "hand over mounts")
		if to == len(ip.supers) {
			return
		}
		for _, m := range mounts {
			p.Call("close a mount", unix.SYS_CLOSE, fork.Ref(m))
		}
	}
}

// handover is the shim's end of superblocks: what init has sent and nobody has taken.
type handover struct {
	files   []*os.File
	receive func() ([]*os.File, error)
}

// more waits for the next message.
func (h *handover) more() error {
	files, err := h.receive()
	h.files = append(h.files, files...)
	return err
}

// next is the next mount, which is the caller's.
func (h *handover) next() (*os.File, error) {
	if len(h.files) == 0 {
		if err := h.more(); err != nil {
			return nil, err
		}
	}
	if len(h.files) == 0 {
		return nil, errors.New("make file systems: too few of them")
	}
	f := h.files[0]
	h.files = h.files[1:]
	return f, nil
}

func (h *handover) close() { closeAll(h.files) }

// superblock is fsopen, fsconfig for each parameter, fsmount (Linux 5.2).
func (ip *initPlan) superblock(s *mount.Superblock, out *fork.Reg) {
	p, what := ip.prog, s.String()
	fs := ip.context(s)
	for _, param := range s.Params {
		if param.Flag {
			p.Call(what+" with "+param.Key, unix.SYS_FSCONFIG, fork.Ref(fs), fork.Int(unix.FSCONFIG_SET_FLAG), fork.Str(param.Key))
		} else {
			p.Call(what+" with "+param.Key+"="+param.Value, unix.SYS_FSCONFIG, fork.Ref(fs), fork.Int(unix.FSCONFIG_SET_STRING), fork.Str(param.Key), fork.Str(param.Value))
		}
	}
	p.Call(what, unix.SYS_FSCONFIG, fork.Ref(fs), fork.Int(unix.FSCONFIG_CMD_CREATE))
	p.Add(fork.Step{For: what, NR: unix.SYS_FSMOUNT, Args: []fork.Arg{fork.Ref(fs), fork.Hex(unix.FSMOUNT_CLOEXEC), fork.Hex(s.Attrs)}, Out: out})
	p.Call(what, unix.SYS_CLOSE, fork.Ref(fs))
}

// context is the file system context of a superblock. A procfs shows the pid namespace of
// the process that opens its context, or what it is told to (procfs.go).
func (ip *initPlan) context(s *mount.Superblock) *fork.Reg {
	p, what := ip.prog, s.String()
	pidns := ip.ns.join[unix.CLONE_NEWPID]
	ofOthers := s.Type == procfs && pidns != nil
	if ofOthers && ip.given {
		msg := fork.NewRights(p, 1)
		msg.Receive(p, ip.conn, msgContext, what)
		return msg.Reg(p, 0)
	}
	fs := p.NewReg()
	p.Add(fork.Step{For: what, NR: unix.SYS_FSOPEN, Args: []fork.Arg{fork.Str(s.Type), fork.Hex(unix.FSOPEN_CLOEXEC)}, Out: fs})
	if ofOthers {
		p.Call(what+" of the joined pid namespace", unix.SYS_FSCONFIG, fork.Ref(fs), fork.Int(unix.FSCONFIG_SET_FD), fork.Str(paramPIDNS), fork.Int(0), fork.FD(pidns.Fd(), "pid"))
	}
	return fs
}

// openPTY opens a terminal in a devpts that nobody else has seen yet, so nothing
// in an image can put another file in its place (CVE-2025-52565). The slave comes
// from TIOCGPTPEER (Linux 4.13), never from its path.
func openPTY(p *fork.Program, devpts, master, slave *fork.Reg) {
	p.Add(fork.Step{For: "open /dev/pts/ptmx", NR: unix.SYS_OPENAT, Args: []fork.Arg{fork.Ref(devpts), fork.Str("ptmx"), fork.Open(unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC)}, Out: master})
	peer(p, master, slave)
}

func peer(p *fork.Program, master, slave *fork.Reg) {
	p.Call("unlock pty", unix.SYS_IOCTL, fork.Ref(master), fork.Hex(unix.TIOCSPTLCK), fork.Mem(fork.New(p, int32(0)), "0"))
	p.Add(fork.Step{For: "open pty", NR: unix.SYS_IOCTL, Args: []fork.Arg{fork.Ref(master), fork.Hex(unix.TIOCGPTPEER), fork.Open(unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC)}, Out: slave})
}
