// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// runHooks runs the hooks of Create. All mounts are made and the root is not
// entered yet: paths are the host's, in the container's namespaces as well.
func (m *maker) runHooks(ctx context.Context) error {
	m.hooked = true
	if !m.hooks.has(hookPrestart, hookCreateRuntime, hookCreateContainer) {
		return nil
	}
	done := make(chan error)
	go func() { done <- m.createHooks(ctx) }() // this thread is in the container's namespaces
	return <-done
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
	pid, err := innerPid(m.child.Pid)
	if err != nil {
		return err
	}
	root, err := m.mounts.OpenRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	place := &hookPlace{
		root: root, group: m.group.Dir(), init: m.child.Pidfd, joins: entered(m.Spec), userns: ownNamespace(m.Spec, specs.UserNamespace),
		proc: m.proc, oomScore: m.Spec.Process.OOMScoreAdj,
	}
	return m.hooks.run(ctx, hookCreateContainer, specs.StateCreating, pid, hookIn(place))
}
