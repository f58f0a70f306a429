// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/godbus/dbus/v5"
)

// has reports whether the process is in the unit.
func (b *bus) has(ctx context.Context, unit string, pid int) bool {
	var process, named dbus.ObjectPath
	err := b.call(ctx, "GetUnitByPID", []any{&process}, uint32(pid))
	if err == nil {
		err = b.call(ctx, "GetUnit", []any{&named}, unit)
	}
	return err == nil && process == named
}

// over reports whether the unit has no job any more. It returns ErrNotFound if there is no
// such unit.
func (b *bus) over(ctx context.Context, unit string) (bool, error) {
	var path dbus.ObjectPath
	if err := b.call(ctx, "GetUnit", []any{&path}, unit); err != nil {
		return false, err
	}
	v, err := b.property(ctx, path, "Unit", "Job")
	if err != nil {
		return false, err
	}
	var job struct {
		ID   uint32
		Path dbus.ObjectPath
	}
	err = dbus.Store([]any{v.Value()}, &job)
	return err == nil && job.ID == 0, err
}

// Cgroup asks systemd for the cgroup of a scope, as a path below the cgroup2 mount, for the
// case that there is none at Scope.Path. It returns ErrNotFound if there is no such unit.
func (m *Manager) Cgroup(ctx context.Context, unit string) (path string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = m.use(ctx, func(b *bus) error {
		path, err = b.cgroup(ctx, unit)
		return err
	})
	if err == nil && path == "" {
		err = errdefs.ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("look up the cgroup of %s: %w", unit, err)
	}
	return path, nil
}

// cgroup returns the cgroup of a scope, or "" if the scope does not run.
func (b *bus) cgroup(ctx context.Context, unit string) (string, error) {
	var path dbus.ObjectPath
	if err := b.call(ctx, "GetUnit", []any{&path}, unit); err != nil {
		return "", err
	}
	v, err := b.property(ctx, path, "Scope", "ControlGroup")
	if err != nil {
		return "", err
	}
	text, _ := v.Value().(string)
	return text, nil
}
