// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// execTree is an exec with all that it starts: where it is, and what it is known by.
type execTree struct {
	place *cgroup.Place
	tree  cgroup.Tree
}

// marksExecs reports whether each exec has a mark (cgroup.Mark): a cgroup namespace of its
// own, which cannot be told from the container's where that has its root where the exec
// makes its own. The host's has not.
func (c *Container) marksExecs() bool { return newNamespace(c.spec, specs.CgroupNamespace) }

// makeMark makes the mark of an exec that has entered the container's namespaces and is
// in its cgroup, which is the mark's root. If it cannot, as where
// user.max_cgroup_namespaces is reached, the exec goes on without one.
func makeMark(p *fork.Program) {
	args := []fork.Arg{fork.Hex(unix.CLONE_NEWCGROUP)}
	p.Add(fork.Step{For: "mark the exec", NR: unix.SYS_UNSHARE, Args: args, Fail: "marked"})
	p.Mark("marked")
}

func (x *execer) tree() *execTree {
	return &execTree{x.place, cgroup.Tree{Pid: x.child.Pid, Pidfd: x.child.Pidfd, Init: x.c.init.pid, Mark: x.mark}}
}

// KillTree sends SIGKILL to an exec and all that it has started, and waits until those
// that can die are dead. ErrNotFound: the exec has ended.
func (p *Process) KillTree() error {
	if p.tree == nil {
		return p.Signal(syscall.SIGKILL)
	}
	lived := sys.PidfdAlive(p.pidfd)
	err := p.tree.place.Kill(p.tree.tree)
	if !lived {
		err = errors.Join(err, p.Signal(syscall.SIGKILL))
	}
	return err
}

func (t *execTree) close() error {
	t.place.Release()
	return t.tree.Mark.Close()
}
