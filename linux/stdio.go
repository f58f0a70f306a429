// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// PipePending is how many bytes a pipe or fifo holds that nobody has read yet
// (FIONREAD, pipe(7)).
func PipePending(f *os.File) (n int, err error) {
	err = sys.Control(f, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ) // the same number
		return os.NewSyscallError("ioctl FIONREAD", err)
	})
	return n, err
}

// PipeSize is what a container's output fifos are given, in bytes. With the
// kernel's 64 KiB writer and reader wait for each other: on Linux 6.18, 2 cores, a
// pipe passes 1.4 GB/s with that, 3.2 with 128 KiB, 3.7 with 256 KiB and no more
// with 1 MiB.
const PipeSize = 256 << 10

// GrowPipe sets the capacity of a pipe or fifo (F_SETPIPE_SZ, fcntl(2)). EPERM: the
// user's limit is reached.
func GrowPipe(f *os.File, size int) error {
	return sys.Control(f, func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size)
		return os.NewSyscallError("fcntl F_SETPIPE_SZ", err)
	})
}

func isFifo(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
