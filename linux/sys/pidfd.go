// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PidfdSend sends a signal to the process (pidfd_send_signal(2), Linux 5.1).
// ESRCH: it is dead and reaped, or a zombie's signal went nowhere.
func PidfdSend(pidfd *os.File, sig syscall.Signal) error {
	err := unix.PidfdSendSignal(int(pidfd.Fd()), sig, nil, 0)
	runtime.KeepAlive(pidfd)
	return os.NewSyscallError("pidfd_send_signal", err)
}

// siginfo is the part of siginfo_t that waitid(2) fills, on 64-bit machines.
type siginfo struct {
	signo, errno, code, _ int32
	pid                   int32
	uid                   uint32
	status                int32
	_                     [100]byte
}

// Exit is how a process ended.
type Exit struct {
	Signaled bool
	Status   int // exit code, or the signal's number
}

// PidfdWait blocks until the process has ended and reaps it (waitid with
// P_PIDFD, Linux 5.4). Only one caller may do this for a process.
func PidfdWait(pidfd *os.File) (Exit, error) {
	var si siginfo
	err := Retry(func() error {
		return unix.Waitid(unix.P_PIDFD, int(pidfd.Fd()), (*unix.Siginfo)(unsafe.Pointer(&si)), unix.WEXITED, nil)
	})
	runtime.KeepAlive(pidfd)
	if err != nil {
		return Exit{}, os.NewSyscallError("waitid", err)
	}
	return exitOf(&si), nil
}

func exitOf(si *siginfo) Exit {
	const cldExited = 1
	return Exit{Signaled: si.code != cldExited, Status: int(si.status)}
}

// PeekExited returns the pid of some child that has ended and is not yet reaped,
// or 0. The child stays as it is (WNOWAIT).
func PeekExited() (int, error) {
	var si siginfo
	err := Retry(func() error {
		return unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&si)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	})
	if err == unix.ECHILD { //nolint:errorlint // raw errno
		return 0, nil
	}
	return int(si.pid), os.NewSyscallError("waitid", err)
}

// PidfdPid is the process's pid in the namespace of procfs; -1 once it is reaped.
// From the pidfd's fdinfo (proc_pid_fdinfo(5)).
func PidfdPid(pidfd *os.File) (int, error) {
	info, err := ReadProc("self/fdinfo/" + strconv.Itoa(int(pidfd.Fd())))
	runtime.KeepAlive(pidfd)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(info) {
		if rest, ok := bytes.CutPrefix(line, []byte("Pid:")); ok {
			return strconv.Atoi(string(bytes.TrimSpace(rest)))
		}
	}
	return 0, fmt.Errorf("read pid of %s: no Pid line in its fdinfo", pidfd.Name())
}
