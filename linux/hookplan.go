// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
	"github.com/containerd-mini/mini/linux/sys/nofile"
)

// hookPlan is a hook as a child of the shim with the shim's privileges: on the
// host, or in a container's namespaces before its root is entered. A hook that
// runs as a process of the container is an exec (Container.startHook).
type hookPlan struct {
	hook  *specs.Hook
	env   []string
	stdio [3]*os.File
	files unix.Rlimit // RLIMIT_NOFILE, which the Go runtime has raised; zero: as it is
	dir   string      // working directory, on the host
	in    *hookPlace
}

// hookPlace is a container that a hook runs in.
type hookPlace struct {
	root     *os.File // its root directory, O_PATH; the hook's working directory
	group    *os.File // cgroup
	init     *os.File // pidfd
	joins    int      // CLONE_NEW* flags of its namespaces
	userns   bool     // one of them is a user namespace
	proc     *os.File // the host's procfs
	oomScore *int
	tasks    []*os.File // of resctrl groups to join
}

// hookOnHost starts hooks in the shim's own namespaces and cgroup. A hook that
// sets no environment has the shim's, as in runc, but for the way to containerd's own
// systemd, which containerd's client of runc takes away, too.
func hookOnHost(bundle string) hookStarter {
	return func(ctx context.Context, h *specs.Hook, stdio [3]*os.File) (hookProcess, error) {
		hp := hookPlan{hook: h, env: h.Env, stdio: stdio, files: unix.Rlimit(nofile.Limit), dir: bundle}
		if h.Env == nil {
			hp.env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "NOTIFY_SOCKET=") })
		}
		return hp.start(ctx)
	}
}

// hookIn starts hooks in the container's namespaces and cgroup, with the host's
// mounts still around its root. A hook that sets no environment has none.
func hookIn(place *hookPlace) hookStarter {
	return func(ctx context.Context, h *specs.Hook, stdio [3]*os.File) (hookProcess, error) {
		hp := hookPlan{hook: h, env: h.Env, stdio: stdio, files: unix.Rlimit(nofile.Limit), in: place}
		return hp.start(ctx)
	}
}

// start returns when the hook's program runs, or with the reason why it does not.
func (hp *hookPlan) start(ctx context.Context) (_ *hookChild, err error) {
	conn, end, err := fork.Pair()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	prog := hp.program(fork.NewProgram(), end)
	s := spawn{config: fork.Config{Program: prog, Conn: end}}
	if hp.in != nil {
		s.config.Cgroup = hp.in.group
		if hp.in.joins&unix.CLONE_NEWPID != 0 {
			s.pidns = hp.in.init
		}
	}
	child, err := s.run()
	_ = end.Close() // the child has its own
	if err != nil {
		return nil, err
	}
	if err := until(ctx, conn, func() error { return executed(conn, prog) }); err != nil {
		return nil, errors.Join(err, abandon(child))
	}
	return &hookChild{pid: child.Pid, pidfd: child.Pidfd}, nil
}

// program compiles the hook's steps.
func (hp *hookPlan) program(p *fork.Program, conn *sys.Conn) *fork.Program {
	undumpable(p)
	keep := hp.stdio[:]
	if hp.in != nil {
		keep = append(append(keep, hp.in.init, hp.in.proc, hp.in.root), hp.in.tasks...)
	}
	p.KeepOnly(conn, keep...)
	if hp.in != nil {
		joinResctrl(p, hp.in.tasks)
		setOOMScore(p, hp.in.proc, hp.in.oomScore)
		p.Call("enter the container's namespaces", unix.SYS_SETNS, fork.FD(uintptr(sys.FD(hp.in.init)), "init"), fork.Hex(hp.in.joins&^unix.CLONE_NEWPID))
		if hp.in.userns {
			becomeRoot(p)
		}
		p.Call("enter the container's root directory", unix.SYS_FCHDIR, fork.FD(uintptr(sys.FD(hp.in.root)), "root"))
	} else {
		p.Call("enter "+hp.dir, unix.SYS_CHDIR, fork.Str(hp.dir))
	}
	// A group of its own, by which it is killed with what it starts.
	p.Call("make a session", unix.SYS_SETSID)
	if hp.files.Max > 0 {
		setRlimit(p, "RLIMIT_NOFILE", unix.RLIMIT_NOFILE, hp.files)
	}
	for fd, f := range hp.stdio {
		p.Call("set a standard stream", unix.SYS_DUP3, fork.FD(uintptr(sys.FD(f)), "pipe"), fork.Int(fd))
	}
	leaveOnly(p, conn)
	p.Call("exec", unix.SYS_EXECVE, fork.Str(hp.hook.Path), fork.Strs(hookArgs(hp.hook), -1, nil), fork.Strs(hp.env, -1, nil))
	return p
}

// hookArgs are a hook's arguments, the first of which is its name.
func hookArgs(h *specs.Hook) []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}

// hookChild is a hook that hookPlan started. It leads a process group.
type hookChild struct {
	pid   int
	pidfd *os.File
}

func (c *hookChild) wait() (sys.Exit, error) { return sys.PidfdEnded(c.pidfd) }

// killTree goes by the process group: the hook is not reaped before close, so its
// pid is nobody else's.
func (c *hookChild) killTree() error { return unix.Kill(-c.pid, unix.SIGKILL) }

func (c *hookChild) close() error {
	_, err := sys.PidfdWait(c.pidfd)
	own.remove(c.pid)
	return errors.Join(err, c.pidfd.Close())
}
