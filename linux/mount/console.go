// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Console binds the slave of the container's pty on /dev/console. It clones the slave's
// descriptor, because the image may put anything at /dev/pts/N (CVE-2025-52565), and
// refuses a link at /dev/console. Call it after Mount and before Enter. The slave must be
// of a devpts of this mount namespace.
func (s *Set) Console(slave *os.File) error {
	return wrap("console", "/dev/console", s.console(int(slave.Fd())))
}

func (s *Set) console(slave int) error {
	dev, err := s.root.open("/dev", false)
	if err != nil {
		return err
	}
	defer sys.Close(dev.fd)
	err = s.root.users.withRootRights(dev.fd, func() error {
		return sys.MknodAt(dev.fd, "console", unix.S_IFREG|0o644, 0)
	})
	if err != nil && !exists(err) {
		return err
	}
	target, err := sys.OpenAt(dev.fd, "console", unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer sys.Close(target)
	st, err := sys.Stat(target)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return fmt.Errorf("a link is in its place: %w", unix.ELOOP)
	}
	tree, err := sys.CloneTree(slave, "", false)
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	return sys.MoveMount(tree, target)
}

// OpenPTY opens a new pty in what is mounted on the container's /dev/pts, for a
// container with a terminal for which PTY is -1. Call it after Mount and before
// Console. The caller owns both files.
func (s *Set) OpenPTY() (master, slave *os.File, err error) {
	ptmx, err := sys.OpenInRoot(s.root.fd, "/dev/pts/ptmx", unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	defer sys.Close(ptmx)
	if err := checkPtmx(ptmx); err != nil {
		return nil, nil, fmt.Errorf("open a terminal: /dev/pts/ptmx: %w", err)
	}
	fd, err := sys.OpenAt(unix.AT_FDCWD, procPath(ptmx), unix.O_RDWR|unix.O_NOCTTY)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	peer, err := openPeer(fd)
	if err != nil {
		sys.Close(fd)
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	return os.NewFile(uintptr(fd), "/dev/pts/ptmx"), os.NewFile(uintptr(peer), "/dev/pts"), nil
}

// checkPtmx refuses an inode that is not the ptmx of a devpts (fs/devpts/inode.c).
func checkPtmx(fd int) error {
	magic, err := sys.Magic(fd)
	if err != nil {
		return err
	}
	if magic != unix.DEVPTS_SUPER_MAGIC {
		return errors.New("not on a devpts")
	}
	st, err := sys.Stat(fd)
	if err != nil {
		return err
	}
	const ino = 2
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || uint64(st.Rdev) != unix.Mkdev(5, 2) || st.Ino != ino {
		return errors.New("not the ptmx of its devpts")
	}
	return nil
}

// openPeer unlocks a pty and opens its slave by the master (TIOCGPTPEER,
// Linux 4.13).
func openPeer(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, &os.SyscallError{Syscall: "ioctl TIOCSPTLCK", Err: err}
	}
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, flags)
	if errno != 0 {
		return -1, &os.SyscallError{Syscall: "ioctl TIOCGPTPEER", Err: errno}
	}
	return int(fd), nil
}
