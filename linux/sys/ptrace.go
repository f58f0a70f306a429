// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Trace has the calling thread trace a process, which runs on. The process stops when
// it clones, and what it clones executes nothing before Untrace; nobody else can trace
// either meanwhile. The kernel kills both if the thread ends first
// (PTRACE_O_EXITKILL). Precondition: the thread is locked.
//
// EPERM: a security module forbids it, such as Yama with ptrace_scope 3.
func Trace(pid int) error {
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACECLONE
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, options, 0, 0)
	if errno == 0 {
		return nil
	}
	return os.NewSyscallError("ptrace", errno)
}

// Untrace lets a process that has stopped go on. One that is dead is no error.
func Untrace(pid int) error {
	if err := unix.PtraceDetach(pid); err != nil && !errors.Is(err, unix.ESRCH) {
		return os.NewSyscallError("ptrace", err)
	}
	return nil
}

// TracedClone waits until a traced process has cloned, and returns the pid of the
// clone, which has stopped or is dead. It returns 0 if the process has ended before.
// Both are left to be reaped. Precondition: the calling thread traces the process.
func TracedClone(pid int) (int, error) {
	event, err := traceEvent(pid)
	if err != nil || event == 0 {
		return 0, err
	}
	if event != unix.PTRACE_EVENT_CLONE {
		return 0, fmt.Errorf("trace process %d: unexpected event %d", pid, event)
	}
	clone, err := unix.PtraceGetEventMsg(pid)
	if err != nil {
		return 0, os.NewSyscallError("ptrace", err)
	}
	_, err = traceEvent(int(clone))
	return int(clone), err
}

// traceEvent waits until a traced process stops, and returns the event (ptrace(2)); 0
// if it has ended.
func traceEvent(pid int) (int, error) {
	const (
		cldTrapped = 4 // siginfo's code of a ptrace stop, waitid(2)
		options    = unix.WSTOPPED | unix.WEXITED | unix.WNOWAIT | unix.WALL
	)
	var si siginfo
	err := Retry(func() error {
		return unix.Waitid(unix.P_PID, pid, (*unix.Siginfo)(unsafe.Pointer(&si)), options, nil)
	})
	if err != nil {
		return 0, os.NewSyscallError("waitid", err)
	}
	if si.code != cldTrapped {
		return 0, nil
	}
	return int(si.status) >> 8, nil
}
