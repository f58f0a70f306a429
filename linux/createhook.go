// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/netdev"
	"github.com/containerd-mini/mini/linux/sys"
)

// runOnHost moves network devices and runs the hooks of Create. All mounts are made
// and the root is not entered yet: paths are the host's, in the container's
// namespaces as well.
func (m *maker) runOnHost(ctx context.Context) error {
	m.hooked = true
	if len(m.Spec.Linux.NetDevices) == 0 && !m.hooks.has(hookPrestart, hookCreateRuntime, hookCreateContainer) {
		return nil
	}
	return onHost(func() error { // this thread is in the container's namespaces
		err := m.moveDevices()
		fault.Point("hooks.devices-moved")
		if err != nil {
			return err
		}
		return m.createHooks(ctx)
	})
}

// moveDevices moves linux.netDevices. They go with the network namespace when the
// container ends, and back if Create fails.
func (m *maker) moveDevices() error {
	if len(m.Spec.Linux.NetDevices) == 0 {
		return nil
	}
	ns, err := sys.OpenProcLink(strconv.Itoa(m.child.Pid)+"/ns", "net", os.O_RDONLY)
	if err != nil {
		return err
	}
	defer ns.Close()
	names := map[string]string{}
	for name, d := range m.Spec.Linux.NetDevices {
		names[name] = d.Name
	}
	m.devices, err = netdev.Move(ns, names)
	return err
}

func (m *maker) createHooks(ctx context.Context) error {
	for _, kind := range []hookKind{hookPrestart, hookCreateRuntime} {
		if err := m.hooks.run(ctx, kind, specs.StateCreating, m.child.Pid, hookOnHost(m.Bundle)); err != nil {
			return err
		}
	}
	if !m.hooks.has(hookCreateContainer) {
		return nil
	}
	fault.Point("hooks.runtime-ended")
	pid, joins, err := m.hookNamespaces()
	if err != nil {
		return err
	}
	root, err := m.mounts.OpenRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	place := &hookPlace{
		root: root, group: m.group.Dir(), init: m.child.Pidfd, joins: joins, userns: ownNamespace(m.Spec, specs.UserNamespace),
		proc: m.proc, tasks: m.tasks, oomScore: m.Spec.Process.OOMScoreAdj,
	}
	return m.hooks.run(ctx, hookCreateContainer, specs.StateCreating, pid, hookIn(place))
}

// hookNamespaces are what createContainer hooks enter, and init's pid as they see it.
// They have the host's mounts, so they stay out of a pid namespace that others live in:
// whoever has CAP_SYS_PTRACE there could take the host's files from them.
func (m *maker) hookNamespaces() (pid, joins int, err error) {
	joins = m.ns.entered(m.Spec)
	if m.ns.join[unix.CLONE_NEWPID] != nil {
		return m.child.Pid, joins &^ unix.CLONE_NEWPID, nil
	}
	pid, err = innerPid(m.child.Pid)
	return pid, joins, err
}
