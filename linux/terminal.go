// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// ptmx is the device that a pty master is: devices.txt, 5:2.
const ptmxMajor, ptmxMinor = 5, 2

// checkPTY makes sure that a file which came out of a container is a pty master
// in a devpts, and nothing else the container could have put in its place
// (CVE-2025-52565).
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
			return fmt.Errorf("open terminal: /dev/pts/ptmx of the container is not a devpts device: %w", unix.ENODEV)
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
