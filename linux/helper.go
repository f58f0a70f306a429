// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
	"github.com/containerd-mini/mini/linux/sys/nofile"
)

// StartHelper starts a program of the host, such as a binary logger, and returns when
// it is being executed, which may take long where its file system does not answer:
// the end of ctx ends that. Of cmd it takes Path, Args, Env, Dir and ExtraFiles; the
// standard streams are the null device. wait is cmd.Wait; it must be called once.
//
// It is not cmd.Start, which keeps syscall.ForkLock until the execve is over: a program
// that hangs there would keep the shim from making any other process.
func StartHelper(ctx context.Context, cmd *exec.Cmd) (wait func() error, err error) {
	return startHelper(ctx, cmd, nil)
}

// startIn is StartHelper for a program that is born in the cgroup of the directory,
// from the calling thread.
func startIn(ctx context.Context, group *os.File) func(cmd *exec.Cmd) (wait func() error, err error) {
	return func(cmd *exec.Cmd) (wait func() error, err error) { return startHelper(ctx, cmd, group) }
}

func startHelper(ctx context.Context, cmd *exec.Cmd, group *os.File) (wait func() error, err error) {
	if err := checkHelper(cmd); err != nil {
		return nil, err
	}
	conn, end, err := fork.Pair()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0) // the host's, for a program of the host
	if err != nil {
		return nil, errors.Join(err, end.Close())
	}
	defer null.Close()
	files := append([]*os.File{null, null, null}, cmd.ExtraFiles...)
	if end, err = end.Above(len(files)); err != nil {
		return nil, err
	}
	prog := helperProgram(cmd, end, files)
	s := spawn{config: fork.Config{Cgroup: group, Program: prog, Conn: end}}
	child, err := s.run()
	_ = end.Close() // the child has its own
	if err != nil {
		return nil, err
	}
	if err = until(ctx, conn, func() error { return executed(conn, prog) }); err == nil {
		cmd.Process, err = os.FindProcess(child.Pid)
	}
	if err != nil {
		return nil, errors.Join(err, abandon(child))
	}
	return func() error { return waitHelper(cmd, child) }, nil
}

// checkHelper refuses what cmd.Start refuses.
func checkHelper(cmd *exec.Cmd) error {
	if cmd.Err != nil { // of the look-up of its name
		return cmd.Err
	}
	for _, s := range append(append([]string{cmd.Path, cmd.Dir}, cmd.Args...), cmd.Env...) {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("exec %q: a string holds a NUL byte: %w", cmd.Path, unix.EINVAL)
		}
	}
	return nil
}

// helperProgram compiles the steps of a helper, whose descriptors 0, 1, 2 and so on
// are the files. Precondition: conn's number is above those.
func helperProgram(cmd *exec.Cmd, conn *sys.Conn, files []*os.File) *fork.Program {
	p := fork.NewProgram()
	undumpable(p)
	p.KeepOnly(conn, files...)
	if cmd.Dir != "" {
		p.Call("enter "+cmd.Dir, unix.SYS_CHDIR, fork.Str(cmd.Dir))
	}
	if nofile.Limit.Max > 0 { // the Go runtime has raised it
		setRlimit(p, "RLIMIT_NOFILE", unix.RLIMIT_NOFILE, unix.Rlimit(nofile.Limit))
	}
	// A file may have the number that another is to get.
	copies := make([]*fork.Reg, len(files))
	for i, f := range files {
		copies[i] = p.NewReg()
		p.Add(fork.Step{For: "copy a file", NR: unix.SYS_FCNTL, Args: []fork.Arg{fork.FD(uintptr(sys.FD(f)), "file"), fork.Int(unix.F_DUPFD_CLOEXEC), fork.Int(len(files))}, Out: copies[i]})
	}
	for i, r := range copies {
		p.Call(fmt.Sprintf("set descriptor %d", i), unix.SYS_DUP3, fork.Ref(r), fork.Int(i))
	}
	p.Call("exec", unix.SYS_EXECVE, fork.Str(cmd.Path), fork.Strs(cmd.Args, -1, nil), fork.Strs(cmd.Environ(), -1, nil))
	return p
}

// waitHelper waits for a program that startHelper has started.
func waitHelper(cmd *exec.Cmd, child *fork.Child) error {
	// Process.Wait, which makes Process.Signal know of the end, keeps a thread.
	_, eerr := sys.PidfdEnded(child.Pidfd)
	state, err := cmd.Process.Wait() // which leaves Process.Pid as it is
	err = errors.Join(eerr, err)
	own.remove(child.Pid)
	err = errors.Join(err, child.Pidfd.Close())
	if err == nil && !state.Success() {
		err = &exec.ExitError{ProcessState: state}
	}
	return err
}
