// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/fork"
)

// birth starts the forerunner, and takes the terminal, if there is one, and the process
// from it.
func (x *execer) birth() (err error) {
	own.hold()
	defer func() { err = errors.Join(err, own.release(false)) }()
	if err := x.clone(); err != nil {
		return err
	}
	x.forerunner.makeRoom = x.makeRoom
	fault.Point("exec.cloned")
	if x.config.Process.Terminal {
		if err := x.terminal(); err != nil {
			x.lost = true
			return x.initGone(err)
		}
	}
	var home []byte
	if x.wantHome {
		home, err = receiveHome(x.conn, x.prog, x.config.Process.User.UID)
	}
	if err == nil {
		x.child, err = x.forerunner.born(x.conn, x.prog, home)
	}
	if err != nil {
		x.lost = true
		return commandError(x.file, x.initGone(err))
	}
	fault.Point("exec.handed-over")
	return nil
}

// executed waits for the process's execve.
func (x *execer) executed() error {
	err := x.c.executed(x.conn, x.prog, &Process{pid: x.child.Pid, pidfd: x.child.Pidfd}, specs.StateRunning)
	return commandError(x.file, x.initGone(err))
}

func (x *execer) terminal() error {
	files, err := reply(x.conn.Recv, x.prog, msgTerminal, "open terminal")
	if err != nil {
		return err
	}
	if len(files) != 1 {
		closeAll(files)
		return fmt.Errorf("open terminal: got %d descriptors, not 1", len(files))
	}
	defer closeAll(files)
	x.console, err = console(files[0], x.config.Process.ConsoleSize)
	return err
}

// clone starts the forerunner in the best cgroup that the kernel allows.
func (x *execer) clone() (err error) {
	if x.place, err = x.c.group.Place(x.c.init.pid, x.c.marksExecs()); err != nil {
		return x.initGone(err)
	}
	for {
		x.prog = x.compile() // a clone uses a program up
		s := spawn{config: fork.Config{Cgroup: x.place.Dir(), Program: x.prog, Conn: x.end}, cpus: x.cpus}
		x.forerunner.Child, err = s.run()
		if err == nil || !cgroup.PlaceRefused(err) {
			break
		}
		next, nerr := x.place.Next(x.c.init.pid)
		if nerr != nil {
			x.place = nil
			return x.initGone(errors.Join(err, nerr))
		}
		x.place = next
	}
	_ = x.end.Close() // the child has its own
	return x.initGone(err)
}
