// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// ptmx is the device that a pty master is: devices.txt, 5:2.
const ptmxMajor, ptmxMinor = 5, 2

// notPTY is what is said of anything but a pty master in a devpts, which the container
// could have put in its place (CVE-2025-52565).
const notPTY = "open terminal: /dev/pts/ptmx of the container is not a devpts device"

// statfs is struct statfs (statfs(2)), as far as it says what a file system is.
type statfs struct {
	kind [8]byte
	_    [112]byte
}

// openMaster appends steps that open a pty in the container's devpts, into master.
//
// The process looks at what it has opened, not the shim: on a FUSE file system whose
// server does not answer, fstat and even close wait for it.
func openMaster(p *fork.Program, master *fork.Reg) {
	const what, other, done = "open /dev/pts/ptmx", "not a pty", "a pty"
	how := fork.New(p, unix.OpenHow{
		Flags:   unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC | unix.O_NONBLOCK,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	st, fs := fork.New(p, statx{}), fork.New(p, statfs{})
	p.Add(fork.Step{For: what, NR: unix.SYS_OPENAT2, Out: master, Args: []fork.Arg{
		fork.Int(unix.AT_FDCWD), fork.Str("/dev/pts/ptmx"),
		fork.Mem(how, "O_RDWR|O_NOCTTY no symlinks"), fork.Int(unix.SizeofOpenHow),
	}})
	p.Call(what, unix.SYS_STATX,
		fork.Ref(master), fork.Str(""), fork.Hex(unix.AT_EMPTY_PATH), fork.Hex(unix.STATX_TYPE), fork.Mem(st, "st"))
	p.Call(what, unix.SYS_FSTATFS, fork.Ref(master), fork.Mem(fs, "st"))
	st.unlessDevice(p, ptmxMajor, ptmxMinor, other)
	for i, n := range [8]byte{unix.DEVPTS_SUPER_MAGIC & 0xff, unix.DEVPTS_SUPER_MAGIC >> 8} {
		p.Unless("is it on a devpts", &fs.kind[i], n, 0xff, other)
	}
	p.Add(fork.Step{For: "go on", NR: fork.OpNop, OK: done})
	p.Mark(other)
	p.Fail(notPTY, unix.ENODEV)
	p.Mark(done)
}

// checkPTY is openMaster's look at a file that criu has opened.
func checkPTY(master *os.File) error {
	return sys.Control(master, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return &os.PathError{Op: "fstat", Path: "ptmx", Err: err}
		}
		var fs unix.Statfs_t
		if err := unix.Fstatfs(fd, &fs); err != nil {
			return &os.PathError{Op: "fstatfs", Path: "ptmx", Err: err}
		}
		device := st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(ptmxMajor, ptmxMinor)
		if !device || fs.Type != unix.DEVPTS_SUPER_MAGIC {
			return fmt.Errorf("%s: %w", notPTY, unix.ENODEV)
		}
		return nil
	})
}

// console returns a copy of a pty master, with the size that the spec asks for. It is
// not in the runtime's poller, which would wake for every byte.
func console(master *os.File, size *specs.Box) (*os.File, error) {
	var fd int
	err := sys.Control(master, func(from int) (err error) {
		fd, err = unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 3)
		return os.NewSyscallError("fcntl", err)
	})
	if err != nil {
		return nil, err
	}
	// The description is non-blocking, or not, for all copies: so it must be before NewFile.
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	f := os.NewFile(uintptr(fd), "pty")
	if size != nil {
		if err := setWinsize(f, uint16(size.Width), uint16(size.Height)); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return f, nil
}

// OpenSlave opens the slave of a pty, whatever mount namespace it is in (TIOCGPTPEER,
// ioctl_tty(2)).
func OpenSlave(console *os.File) (slave *os.File, err error) {
	err = sys.Control(console, func(fd int) error {
		const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
		peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, flags)
		if errno != 0 {
			return os.NewSyscallError("ioctl TIOCGPTPEER", errno)
		}
		slave = os.NewFile(peer, "pty slave")
		return nil
	})
	return slave, err
}

func setWinsize(f *os.File, width, height uint16) error {
	return sys.Control(f, func(fd int) error {
		return os.NewSyscallError("ioctl TIOCSWINSZ", unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}))
	})
}
