// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"sync"

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

func isFifo(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// null is the host's /dev/null for processes without streams, open for the life
// of the shim, and made sure to be the device (1:3).
var null = sync.OnceValues(func() (*os.File, error) {
	f, err := os.OpenFile(os.DevNull, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := sys.Control(f, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil || st.Rdev != unix.Mkdev(1, 3) {
		_ = f.Close()
		return nil, &os.PathError{Op: "open", Path: os.DevNull, Err: unix.ENODEV}
	}
	return f, nil
})
