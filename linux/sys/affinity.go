// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Affinity returns the calling thread's CPUs, a bit each (sched_getaffinity(2)).
func Affinity() ([]uint64, error) {
	mask := make([]uint64, 1024) // must have room for all CPUs that the kernel could have
	size := uintptr(8 * len(mask))
	n, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETAFFINITY, 0, size, uintptr(unsafe.Pointer(&mask[0])))
	if errno != 0 {
		return nil, os.NewSyscallError("sched_getaffinity", errno)
	}
	return mask[:n/8], nil
}

// SetAffinity confines the calling thread to CPUs of which its cpuset has at least
// one; mask is not empty (sched_setaffinity(2)). Precondition: the thread is locked.
func SetAffinity(mask []uint64) error {
	size := uintptr(8 * len(mask))
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, size, uintptr(unsafe.Pointer(&mask[0])))
	if errno != 0 {
		return os.NewSyscallError("sched_setaffinity", errno)
	}
	return nil
}
