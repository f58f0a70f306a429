// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// action is an action of the specification with the value that a program returns for it.
type action struct {
	name  specs.LinuxSeccompAction
	ret   uint32
	errno bool // has an errno in its lower half
}

var actions = [...]action{
	{specs.ActAllow, unix.SECCOMP_RET_ALLOW, false},
	{specs.ActErrno, unix.SECCOMP_RET_ERRNO, true},
	{specs.ActKill, unix.SECCOMP_RET_KILL_THREAD, false},
	{specs.ActKillProcess, unix.SECCOMP_RET_KILL_PROCESS, false},
	{specs.ActKillThread, unix.SECCOMP_RET_KILL_THREAD, false},
	{specs.ActLog, unix.SECCOMP_RET_LOG, false},
	{specs.ActNotify, unix.SECCOMP_RET_USER_NOTIF, false},
	{specs.ActTrace, unix.SECCOMP_RET_TRACE, true},
	{specs.ActTrap, unix.SECCOMP_RET_TRAP, false},
}

const (
	retKill   = unix.SECCOMP_RET_KILL_THREAD // for architectures that are not listed, as libseccomp does
	retEnosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)

	maxErrno = 4095  // MAX_ERRNO; the kernel lowers what is larger
	maxTrace = 65535 // PTRACE_GETEVENTMSG returns 16 bits
)

// readAction returns the return value of an action with its errno. The default errno is
// EPERM, also for TRACE, as the specification says.
func readAction(field, errnoField string, name specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	for _, a := range actions {
		if a.name != name {
			continue
		}
		largest := uint(maxErrno)
		if a.ret == unix.SECCOMP_RET_TRACE {
			largest = maxTrace
		}
		switch {
		case !a.errno && errno != nil:
			return 0, invalid(errnoField, "%s has no errno", name)
		case !a.errno:
			return a.ret, nil
		case errno == nil:
			return a.ret | uint32(unix.EPERM), nil
		case *errno > largest:
			return 0, invalid(errnoField, "%d is above %d", *errno, largest)
		}
		return a.ret | uint32(*errno), nil
	}
	return 0, invalid(field, "unknown action %q", name)
}

// lets reports whether an action lets calls through. An unknown call then reaches the
// kernel and gets ENOSYS there. A tracer may do as it likes.
func lets(ret uint32) bool {
	switch ret & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_TRACE:
		return true
	}
	return false
}
