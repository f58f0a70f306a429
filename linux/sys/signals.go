// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DefaultSignals sets every ignored signal of this process to its default. An ignored
// signal stays ignored over execve(2). So a daemon that was started with nohup(1), or by a
// program that ignores glibc's internal signals, would pass that on to every container. It
// uses raw system calls, because Go's runtime does not handle glibc's two signals.
func DefaultSignals() error {
	const (
		last   = 64
		ignore = 1 // SIG_IGN
		size   = 8 // of the kernel's sigset_t
	)
	// struct sigaction of the kernel: handler, flags, restorer, mask.
	var deflt, now [4]uint64
	for sig := uintptr(1); sig <= last; sig++ {
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&now)), size, 0, 0)
		if errno != 0 {
			return os.NewSyscallError("rt_sigaction", errno)
		}
		if now[0] != ignore {
			continue
		}
		_, _, errno = unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&deflt)), 0, size, 0, 0)
		if errno != 0 {
			return os.NewSyscallError("rt_sigaction", errno)
		}
	}
	return nil
}
