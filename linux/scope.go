// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
	"github.com/containerd-mini/mini/linux/systemd"
)

// manager is the host's systemd, with one connection for all containers of the
// shim, made when the first of them needs it.
var manager = sync.OnceValue(func() *systemd.Manager { return new(systemd.Manager) })

// place is where the spec wants the container's cgroup; scope is nil where
// systemd has no part in it.
func place(h *cgroup.Hierarchy, spec *specs.Spec, id string, o Options) (path string, scope *systemd.Scope, err error) {
	if !o.SystemdCgroup && !systemd.IsName(spec.Linux.CgroupsPath) {
		path, err = h.Path(spec.Linux.CgroupsPath, id)
		return path, nil, err
	}
	if scope, err = systemd.NewScope(spec.Linux.CgroupsPath, id, spec.Annotations); err != nil {
		return "", nil, err
	}
	return scope.Path(), scope, nil
}

// makeScope has systemd make the cgroup. The scope begins with a placeholder in
// it, until unpark.
func (m *maker) makeScope(ctx context.Context, h *cgroup.Hierarchy, scope *systemd.Scope) (err error) {
	if err := cgroup.Check(m.Spec.Linux.Resources, h.Controllers); err != nil {
		return err
	}
	if m.parked, err = park(); err != nil {
		return fmt.Errorf("make a placeholder for %s: %w", scope.Unit, err)
	}
	if err := manager().Start(ctx, scope, m.parked.child.Pid); err != nil {
		return fmt.Errorf("linux.cgroupsPath %q: %w", m.Spec.Linux.CgroupsPath, err)
	}
	m.scope = scope.Unit
	m.group, err = h.Adopt(scope.Path(), m.Spec.Linux.Resources)
	return err
}

// tell tells systemd what the cgroup's limits are; without a scope, nobody.
func tell(ctx context.Context, unit string, group *cgroup.Group) error {
	if unit == "" {
		return nil
	}
	var limits systemd.Limits
	for _, file := range systemd.Files() {
		text, err := group.Read(file)
		if err == nil {
			err = limits.Add(file, text)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return manager().Tell(ctx, unit, limits)
}

// stopScope makes systemd forget a scope whose cgroup is gone.
func stopScope(ctx context.Context, unit string) error {
	if unit == "" {
		return nil
	}
	return manager().Stop(ctx, unit)
}

// parked is a child that does nothing until it is killed, or the shim is.
type parked struct {
	child *fork.Child
	conn  *sys.Conn // at whose end the child waits
}

func park() (*parked, error) {
	conn, end, err := fork.Pair()
	if err != nil {
		return nil, err
	}
	p := fork.NewProgram()
	undumpable(p)
	p.KeepOnly(end)
	p.Call("wait", unix.SYS_RECVFROM, fork.FD(end.Fd(), "socket"), message(p, 0), fork.Int(1))
	p.Call("exit", unix.SYS_EXIT_GROUP)
	s := spawn{config: fork.Config{Program: p, Conn: end}}
	child, err := s.run()
	_ = end.Close()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &parked{child, conn}, nil
}

// unpark ends the placeholder. It may be called again.
func (m *maker) unpark() error {
	p := m.parked
	if p == nil {
		return nil
	}
	m.parked = nil
	return errors.Join(abandon(p.child), p.conn.Close())
}
