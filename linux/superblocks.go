// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/mount"
)

// superblocks makes the filesystems that must belong to the container's
// namespaces: a procfs shows the pid namespace of the process that makes it, a
// sysfs its network namespace, and each belongs to its user namespace. The
// detached mounts go to the shim, which attaches them.
func (ip *initPlan) superblocks(p *fork.Program) {
	count := len(ip.supers)
	if ip.pty >= 0 {
		count += 2
	}
	msg := fork.NewRights(p, count)
	for i := range ip.supers {
		superblock(p, &ip.supers[i], msg.Reg(p, i))
	}
	if ip.pty >= 0 {
		master, slave := msg.Reg(p, count-2), msg.Reg(p, count-1)
		openPTY(p, msg.Reg(p, ip.pty), master, slave)
		ip.identity.terminal = slave
	}
	msg.Send(p, ip.conn, msgMounts, "hand over mounts")
}

// superblock is fsopen, fsconfig for each parameter, fsmount (Linux 5.2).
func superblock(p *fork.Program, s *mount.Superblock, out *fork.Reg) {
	what := s.String()
	fs := p.NewReg()
	p.Add(fork.Step{For: what, NR: unix.SYS_FSOPEN, Args: []fork.Arg{fork.Str(s.Type), fork.Hex(unix.FSOPEN_CLOEXEC)}, Out: fs})
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
