// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DefaultSignals gives every signal that this process ignores its default
// disposition. Being ignored is inherited over execve(2), so that a daemon started
// with nohup(1), or by a program of glibc's that ignores that library's internal
// signals, would pass it on to every container. Raw calls: the runtime of Go knows
// nothing of the C library's two signals.
func DefaultSignals() error {
	const (
		last   = 64
		ignore = 1 // SIG_IGN
	)
	// struct sigaction of the kernel: handler, flags, restorer, mask.
	var deflt, now [4]uint64
	for sig := uintptr(1); sig <= last; sig++ {
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&now)), 8, 0, 0); errno != 0 {
			return os.NewSyscallError("rt_sigaction", errno)
		}
		if now[0] != ignore {
			continue
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&deflt)), 0, 8, 0, 0); errno != 0 {
			return os.NewSyscallError("rt_sigaction", errno)
		}
	}
	return nil
}
