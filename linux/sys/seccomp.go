// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SeccompFlags reports whether the kernel can install a filter with these
// SECCOMP_FILTER_FLAG_* (seccomp(2)). Without a program the kernel only checks them.
func SeccompFlags(flags uint) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), 0)
	return errors.Is(errno, unix.EFAULT)
}

// SeccompAction reports whether the kernel knows SECCOMP_RET_* action (Linux 4.14).
func SeccompAction(action uint32) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return errno == 0
}
