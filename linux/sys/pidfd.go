// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PidfdOpen is pidfd_open(2) (Linux 5.3). The caller closes the file.
func PidfdOpen(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return NewPidfd(fd, pid), nil
}

// PidfdSend sends a signal to the process (pidfd_send_signal(2), Linux 5.1).
// ESRCH: it is dead and reaped, or a zombie's signal went nowhere.
func PidfdSend(pidfd *os.File, sig syscall.Signal) error {
	return Control(pidfd, func(fd int) error {
		return os.NewSyscallError("pidfd_send_signal", unix.PidfdSendSignal(fd, sig, nil, 0))
	})
}

// PidfdFile is a copy of descriptor fd of the process (pidfd_getfd(2), Linux 5.6),
// close-on-exec. The caller closes it.
func PidfdFile(pidfd *os.File, fd int, name string) (file *os.File, err error) {
	err = Control(pidfd, func(p int) error {
		own, err := unix.PidfdGetfd(p, fd, 0)
		if err != nil {
			return os.NewSyscallError("pidfd_getfd", err)
		}
		file = os.NewFile(uintptr(own), name)
		return nil
	})
	return file, err
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

// NewPidfd makes a file of a pidfd that the caller owns. It is non-blocking and in
// the runtime's poller, so that PidfdWait parks a goroutine and not a thread (a pidfd
// is readable once its process has ended, pidfd_open(2)). It cannot fail: where epoll
// takes no more files (fs.epoll.max_user_watches, epoll(7)) PidfdWait keeps a thread.
func NewPidfd(fd, pid int) *os.File { return newPidfd(fd, "pidfd:"+strconv.Itoa(pid)) }

func newPidfd(fd int, name string) *os.File {
	nonblocking := unix.SetNonblock(fd, true) == nil
	f := os.NewFile(uintptr(fd), name)
	if nonblocking && errors.Is(f.SetReadDeadline(time.Time{}), os.ErrNoDeadline) {
		_ = unix.SetNonblock(fd, false) // as it was a moment ago
	}
	return f
}

// Pollable is a pidfd that was received, as NewPidfd makes one. It closes pidfd, but
// on an error leaves it open, for the caller to kill the process by it.
func Pollable(pidfd *os.File) (*os.File, error) {
	var own int
	err := Control(pidfd, func(fd int) (err error) {
		own, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return os.NewSyscallError("fcntl", err)
	})
	if err != nil {
		return nil, err
	}
	_ = pidfd.Close() // its copy stays
	return newPidfd(own, pidfd.Name()), nil
}

// PidfdWait blocks until the process has ended and reaps it (waitid with
// P_PIDFD, Linux 5.4). Only one caller may do this for a process.
func PidfdWait(pidfd *os.File) (Exit, error) { return pidfdWait(pidfd, unix.WEXITED) }

// PidfdWaitFor is PidfdWait that gives up after a time: os.ErrDeadlineExceeded.
func PidfdWaitFor(pidfd *os.File, limit time.Duration) (Exit, error) {
	err := pidfd.SetReadDeadline(time.Now().Add(limit))
	if errors.Is(err, os.ErrNoDeadline) { // see newPidfd
		err = Control(pidfd, func(fd int) error { return pollFor(fd, limit) })
	}
	if err != nil {
		return Exit{}, err
	}
	return PidfdWait(pidfd)
}

// PidfdDeath waits until the process is dead, whoever reaps it, and gives up after a
// time: os.ErrDeadlineExceeded.
func PidfdDeath(pidfd *os.File, limit time.Duration) error {
	return Control(pidfd, func(fd int) error { return pollFor(fd, max(limit, 0)) })
}

// pollFor waits until fd is readable.
func pollFor(fd int, limit time.Duration) error {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n := 0
	err := Retry(func() (err error) { n, err = unix.Poll(p, int(limit.Milliseconds())); return err })
	if err == nil && n == 0 {
		return os.ErrDeadlineExceeded
	}
	return os.NewSyscallError("poll", err)
}

// PidfdEnded is PidfdWait that leaves the process to be reaped later: its pid, and
// that of its process group, is nobody else's until then.
func PidfdEnded(pidfd *os.File) (Exit, error) { return pidfdWait(pidfd, unix.WEXITED|unix.WNOWAIT) }

// PidfdFate is PidfdEnded, and the number of page faults that the process has had
// (getrusage(2)): none means that it never ran.
func PidfdFate(pidfd *os.File) (exit Exit, faults int64, err error) {
	var use unix.Rusage
	exit, err = pidfdWaitUse(pidfd, unix.WEXITED|unix.WNOWAIT, &use)
	return exit, use.Minflt + use.Majflt, err
}

// PidfdIsChild is an error unless the process is a child of this one that nobody has
// waited for.
func PidfdIsChild(pidfd *os.File) error {
	const look = unix.WEXITED | unix.WNOHANG | unix.WNOWAIT
	return Control(pidfd, func(fd int) error {
		return os.NewSyscallError("waitid", Retry(func() error { return unix.Waitid(unix.P_PIDFD, fd, nil, look, nil) }))
	})
}

// PidfdDying reports whether the process is dead or must die: SIGKILL was sent, even
// if the process has not seen it yet (process_mrelease(2), Linux 5.15, which works
// on such a process only; false before, and where a filter forbids the call). A closed
// pidfd is of a dead one.
func PidfdDying(pidfd *os.File) bool {
	err := Control(pidfd, func(fd int) error {
		_, _, errno := unix.Syscall(unix.SYS_PROCESS_MRELEASE, uintptr(fd), 0, 0)
		switch errno {
		case 0, unix.EAGAIN, unix.ESRCH: // its memory is given back, is being, was
			return nil
		}
		return errno
	})
	return err == nil || errors.Is(err, os.ErrClosed)
}

// PidfdAlive reports whether the process has not ended: its pidfd is not readable
// (pidfd_open(2)). A closed pidfd is of a dead one.
func PidfdAlive(pidfd *os.File) bool {
	alive := false
	err := Control(pidfd, func(fd int) error {
		return Retry(func() error {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			alive = n == 0
			return err
		})
	})
	return err == nil && alive
}

func pidfdWait(pidfd *os.File, options int) (Exit, error) {
	return pidfdWaitUse(pidfd, options, nil)
}

func pidfdWaitUse(pidfd *os.File, options int, use *unix.Rusage) (Exit, error) {
	conn, err := pidfd.SyscallConn()
	if err != nil {
		return Exit{}, err
	}
	var si siginfo
	var werr error
	err = conn.Read(func(fd uintptr) bool {
		werr = Retry(func() error {
			return unix.Waitid(unix.P_PIDFD, int(fd), (*unix.Siginfo)(unsafe.Pointer(&si)), options, use)
		})
		return !errors.Is(werr, unix.EAGAIN)
	})
	if err == nil {
		err = os.NewSyscallError("waitid", werr)
	}
	if err != nil {
		return Exit{}, err
	}
	return exitOf(&si), nil
}

func exitOf(si *siginfo) Exit {
	const cldExited = 1
	return Exit{Signaled: si.code != cldExited, Status: int(si.status)}
}

// PidfdPid is the process's pid in the namespace of procfs; -1 once it is reaped.
// From the pidfd's fdinfo (proc_pid_fdinfo(5)).
func PidfdPid(pidfd *os.File) (int, error) {
	var info []byte
	err := Control(pidfd, func(fd int) (err error) {
		info, err = ReadProc("self/fdinfo/" + strconv.Itoa(fd))
		return err
	})
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
