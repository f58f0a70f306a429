// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
	"github.com/containerd-mini/mini/linux/sys/nofile"
)

// StartHelper starts a program of the host, such as a binary logger. wait is
// cmd.Wait; it must be called once.
func StartHelper(cmd *exec.Cmd) (wait func() error, err error) {
	err = own.born(func() (int, error) {
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		return cmd.Process.Pid, nil
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		defer own.remove(cmd.Process.Pid)
		return cmd.Wait()
	}, nil
}

// startIn is StartHelper for a program that is born in the cgroup of the directory,
// from the calling thread. Of cmd it takes Path, Args, Env, Dir and ExtraFiles; the
// standard streams are the null device.
func startIn(group *os.File) func(cmd *exec.Cmd) (wait func() error, err error) {
	return func(cmd *exec.Cmd) (wait func() error, err error) {
		conn, end, err := fork.Pair()
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		null, err := null()
		if err != nil {
			return nil, errors.Join(err, end.Close())
		}
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
		if err = executed(conn, prog); err == nil {
			cmd.Process, err = os.FindProcess(child.Pid)
		}
		if err != nil {
			return nil, errors.Join(err, abandon(child))
		}
		return func() error { return waitHelper(cmd, child) }, nil
	}
}

// helperProgram compiles the steps of a helper, whose descriptors 0, 1, 2 and so on
// are the files. Precondition: conn's number is above those.
func helperProgram(cmd *exec.Cmd, conn *sys.Conn, files []*os.File) *fork.Program {
	p := fork.NewProgram()
	undumpable(p)
	p.KeepOnly(conn, files...)
	p.Call("enter "+cmd.Dir, unix.SYS_CHDIR, fork.Str(cmd.Dir))
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

// waitHelper waits for a program that startIn has started.
func waitHelper(cmd *exec.Cmd, child *fork.Child) error {
	state, err := cmd.Process.Wait() // which leaves Process.Pid as it is
	own.remove(child.Pid)
	err = errors.Join(err, child.Pidfd.Close())
	if err == nil && !state.Success() {
		err = &exec.ExitError{ProcessState: state}
	}
	return err
}
