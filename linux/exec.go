// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// ExecConfig says what Exec is to run.
type ExecConfig struct {
	ID      string
	Process *specs.Process
	Stdio   [3]*os.File // as Config.Stdio
}

// msgTerminal carries the master of an exec's terminal to the shim.
const msgTerminal = 'T'

// Exec runs another process in the container. It returns once the program runs;
// on an error nothing is left. The end of ctx ends it, wherever the process is before
// its execve, with ctx's cause. ErrFailedPrecondition: init has ended.
func (c *Container) Exec(ctx context.Context, e *ExecConfig) (_ *Process, err error) {
	if err := checkProcess("process", e.Process); err != nil {
		return nil, err
	}
	own := *e
	own.Process = execProcess(e.Process, c.spec.Process)
	return (&execer{c: c, config: &own, file: e.Process.Args[0]}).run(ctx)
}

// run makes the process.
func (x *execer) run(ctx context.Context) (_ *Process, err error) {
	defer func() {
		x.release()
		if err != nil {
			err = errors.Join(err, x.undo())
		}
	}()
	if err := x.open(); err != nil {
		return nil, err
	}
	if err := until(ctx, x.conn, x.start); err != nil {
		return nil, err
	}
	if x.mark, err = cgroup.OpenMark(x.child.Pid); err != nil {
		return nil, err
	}
	x.forerunner.end()
	return &Process{pid: x.child.Pid, pidfd: x.child.Pidfd, console: x.console, tree: x.tree()}, nil
}

// environment is what the process gets, and where HOME, which is to be looked up, is in it;
// -1: nowhere.
func (x *execer) environment() (env []string, home int) {
	if x.exact {
		return x.config.Process.Env, -1
	}
	return environment(x.config.Process.Env)
}

// start makes the process and leads it to its execve.
func (x *execer) start() error {
	if err := x.birth(); err != nil {
		return err
	}
	return x.executed()
}

// execer is an Exec on its way.
type execer struct {
	c      *Container
	config *ExecConfig
	file   string // what is executed, args[0] or a hook's path
	exact  bool   // the environment is to be what it is: no HOME is added

	null, proc *os.File // the shim's, for its life
	root       *os.File // the container's where no namespace leads to it; nil otherwise
	cpus       affinity
	memory     *memoryPolicy
	tasks      []*os.File // of resctrl groups
	conn, end  *sys.Conn
	prog       *fork.Program
	wantHome   bool // prog sends the container's /etc/passwd
	place      *cgroup.Place
	mark       *cgroup.Mark
	forerunner forerunner
	child      *fork.Child // that the forerunner cloned
	lost       bool        // a child of ours may be in the cgroup whose pid we were not told
	console    *os.File
}

// open opens what the child needs.
func (x *execer) open() (err error) {
	if x.null, err = null(); err != nil {
		return err
	}
	if x.proc, err = sys.Proc(); err != nil {
		return err
	}
	if x.conn, x.end, err = fork.Pair(); err != nil {
		return err
	}
	if err := x.conn.AskSenders(); err != nil {
		return err
	}
	if x.cpus, err = cpuAffinity("process.execCPUAffinity", x.config.Process.ExecCPUAffinity); err != nil {
		return err
	}
	if x.memory, err = readMemoryPolicy(x.c.spec.Linux.MemoryPolicy); err != nil {
		return err
	}
	if x.tasks, err = x.c.resctrl.Tasks(); err != nil {
		return err
	}
	if !x.c.options.NoPivotRoot { // it is the root of the mount namespace
		return nil
	}
	x.root, err = sys.OpenProcLink(strconv.Itoa(x.c.init.pid), "root", unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, os.ErrNotExist) { // no such process
		err = unix.ESRCH
	}
	return x.initGone(err)
}

// initGone words an error that comes of init's death, which any step of an exec can
// meet; what was killed for another reason is ErrAborted.
func (x *execer) initGone(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ESRCH) || sys.PidfdDying(x.c.init.pidfd):
		return fmt.Errorf("exec in container %s: its init process has ended: %w", x.c.id, errdefs.ErrFailedPrecondition)
	case errors.Is(err, unix.EPIPE):
		return fmt.Errorf("exec in container %s: %w: %w", x.c.id, err, errdefs.ErrAborted)
	}
	return err
}

// compile makes the program. It is the same as init's from the identity on; before that
// stands one setns through init's pidfd for all namespaces.
func (x *execer) compile() *fork.Program {
	proc := x.config.Process
	caps := capabilities(proc.Capabilities, heldCaps())
	if caps.short {
		warn(x.c.warn, ungranted(proc.Capabilities, heldCaps()))
	}
	denied := x.c.groupsDeniedTo()
	if denied {
		warn(x.c.warn, unsetGroups(proc))
	}
	env, at := x.environment()
	var home *[homeLen]byte
	var text *byte
	prog := fork.NewProgram()
	if x.wantHome = at >= 0; x.wantHome {
		home = fork.New(prog, [homeLen]byte{})
		text = &home[1]
	}
	ep := execPlan{
		prog: prog, home: home, root: x.root, conn: x.end, proc: x.proc, tasks: x.tasks, init: x.c.init.pidfd, joins: x.c.joins, userns: ownNamespace(x.c.spec, specs.UserNamespace),
		mark: x.c.marksExecs() && x.place.Shared(),
		identity: identity{
			proc: proc, stdio: x.config.Stdio, null: x.null, caps: caps, lastCap: lastCap(), cpus: x.cpus, person: x.c.spec.Linux.Personality, memory: x.memory, noGroups: denied,
			keyring: newKeyring(x.c.id, x.c.options.NoNewKeyring, false, x.c.spec), lsm: newLSM(proc, !x.c.options.NoNewKeyring),
			filter: filter{x.c.filter, x.end, proc.NoNewPrivileges}, command: newCommand(x.file, proc.Args, env, at, text),
		},
	}
	return ep.program()
}

func (x *execer) release() {
	closeAll(append(x.tasks, x.root))
	if x.conn != nil {
		_ = x.conn.Close()
	}
}

func (x *execer) undo() (err error) {
	if x.end != nil {
		_ = x.end.Close() // closed before, unless the clone was not reached
	}
	for _, child := range []*fork.Child{x.forerunner.Child, x.child} {
		if child == nil {
			continue
		}
		aerr := abandon(child)
		if errors.Is(aerr, errUndead) { // it stays in the container's cgroup
			warn(x.c.warn, aerr)
		} else {
			err = errors.Join(err, aerr)
		}
	}
	closeAll([]*os.File{x.console})
	if x.place != nil {
		x.place.Release()
	}
	err = errors.Join(err, x.mark.Close())
	if x.lost {
		err = errors.Join(err, reapLost())
	}
	return err
}
