// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Setns moves the calling thread into the namespaces that f names: an nsfs file
// with its CLONE_NEW* flag, or a pidfd with several (Linux 5.8). Precondition:
// the thread is locked.
func Setns(f *os.File, flags int) error {
	err := Control(f, func(fd int) error { return unix.Setns(fd, flags) })
	if err != nil {
		return &os.PathError{Op: "setns", Path: f.Name(), Err: err}
	}
	return nil
}

// Unshare is unshare(2) for the calling thread. Precondition: it is locked.
func Unshare(flags int) error {
	return LimitError(os.NewSyscallError("unshare", unix.Unshare(flags)))
}

// NamespaceType returns the CLONE_NEW* flag of an open nsfs file (ioctl_ns(2), Linux 4.11),
// or ENOTTY if f is something else.
func NamespaceType(f *os.File) (int, error) {
	t, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	runtime.KeepAlive(f)
	if err != nil {
		return 0, &os.PathError{Op: "ioctl NS_GET_NSTYPE", Path: f.Name(), Err: err}
	}
	return t, nil
}

// NamespaceOwner opens the user namespace that owns a namespace (ioctl_ns(2),
// NS_GET_USERNS, Linux 4.9). The caller closes it.
func NamespaceOwner(f *os.File) (*os.File, error) {
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	runtime.KeepAlive(f)
	if err != nil {
		return nil, &os.PathError{Op: "ioctl NS_GET_USERNS", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), "owner of "+f.Name()), nil
}

// NamespaceBelow reports whether a pid or user namespace is another one, or below it
// (ioctl_ns(2), NS_GET_PARENT, Linux 4.9). It closes f.
func NamespaceBelow(f, above *os.File) (bool, error) {
	for {
		same, err := SameFile(f, above)
		if err != nil || same {
			return same, errors.Join(err, f.Close())
		}
		fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_PARENT)
		_ = f.Close() // read-only
		if errors.Is(err, unix.EPERM) {
			return false, nil // it was the caller's own, or is not below that
		}
		if err != nil {
			return false, os.NewSyscallError("ioctl NS_GET_PARENT", err)
		}
		f = os.NewFile(uintptr(fd), "namespace")
	}
}

// SameFile reports whether two open files are the same inode, as namespaces are compared
// (namespaces(7)).
func SameFile(a, b *os.File) (bool, error) {
	var sa, sb unix.Stat_t
	if err := unix.Fstat(int(a.Fd()), &sa); err != nil {
		return false, &os.PathError{Op: "fstat", Path: a.Name(), Err: err}
	}
	if err := unix.Fstat(int(b.Fd()), &sb); err != nil {
		return false, &os.PathError{Op: "fstat", Path: b.Name(), Err: err}
	}
	runtime.KeepAlive(a)
	runtime.KeepAlive(b)
	return sa.Dev == sb.Dev && sa.Ino == sb.Ino, nil
}

// OnThread runs f on a thread of its own, which f may change for good: setns,
// unshare, fsuid. The thread is poisoned from here: its goroutine ends without
// unlocking it, so the runtime ends it with its changes and never gives it to
// another goroutine.
//
// f never runs on the process's first thread. That thread cannot end before the process
// does (the runtime parks it forever), and /proc/self shows its namespaces.
func OnThread(f func() error) error {
	done := make(chan error, 1)
	go thread(f, done)
	return <-done
}

func thread(f func() error, done chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// Hold the first thread while another is found, then give it back.
		defer runtime.UnlockOSThread()
		done <- OnThread(f)
		return
	}
	done <- f()
}

// ThreadAttr returns the path below procfs of a file of the calling thread. Some files, such
// as timens_offsets, are only in the thread's own top directory, not in the task directory
// of its process.
func ThreadAttr(name string) string {
	return strconv.Itoa(unix.Gettid()) + "/" + name
}

// LimitError says which limit the errno of clone(2), or of unshare(2) of a namespace,
// stands for, where that is not what its text says.
func LimitError(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("a limit of namespaces in /proc/sys/user, or of 32 nested ones, is reached: %w", err)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("a limit of processes is reached: pids.max of a cgroup, RLIMIT_NPROC or kernel.pid_max: %w", err)
	}
	return err
}
