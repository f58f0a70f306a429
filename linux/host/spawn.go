// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Daemon says how to start a process that outlives this one.
type Daemon struct {
	Image  Image    // the program
	Args   []string // with the program's name first
	Env    []string
	Log    string // a fifo for standard error; without it, /dev/null
	Socket int    // becomes descriptor 3
}

// Start runs the daemon in a process group of its own, in this process's
// working directory, with /dev/null as standard input and output, and returns
// its pid.
//
// The daemon, and so its containers, ignores no signal.
//
// Start uses syscall.ForkExec, because os.StartProcess clones a child once to see whether
// pidfds work.
func (d *Daemon) Start() (pid int, err error) {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	defer unix.Close(null)
	log, err := openLog(d.Log)
	switch {
	case errors.Is(err, unix.ENOENT):
		log = null
	case err != nil:
		return 0, err
	default:
		defer unix.Close(log)
	}
	files := []uintptr{uintptr(null), uintptr(null), uintptr(log), uintptr(d.Socket)}
	// When the child looks up the image, its descriptors below len(files) are the
	// files. So the image needs a higher one.
	image := d.Image
	if image.fd, err = unix.FcntlInt(uintptr(image.fd), unix.F_DUPFD_CLOEXEC, len(files)); err != nil {
		return 0, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	defer image.Close()
	// The daemon inherits none of this process's other descriptors.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 0, os.NewSyscallError("close_range", err)
	}
	if err := sys.DefaultSignals(); err != nil {
		return 0, err
	}
	pid, err = syscall.ForkExec(image.path(), d.Args, &syscall.ProcAttr{
		Env:   d.Env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, &os.PathError{Op: "fork/exec", Path: d.Args[0], Err: err}
	}
	return pid, nil
}

// BecomeDaemon completes Start in the new process. It makes the process a subreaper and
// sets its name, cut at 15 bytes: with some images, the kernel names a process after a
// descriptor's number.
func BecomeDaemon(name string) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
	}
	// Names the first thread, whichever thread this is (proc_pid_comm(5)).
	return os.WriteFile("/proc/self/comm", []byte(name), 0)
}
