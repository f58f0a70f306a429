// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/godbus/dbus/v5"
)

// property is a property of a unit's, as D-Bus has it.
type property struct {
	Name  string
	Value dbus.Variant
}

func prop(name string, value any) property { return property{name, dbus.MakeVariant(value)} }

// Start makes the scope, with the process in its cgroup, and waits until it is
// there. ErrAlreadyExists: there is a unit of this name that runs.
// ErrInvalidArgument: systemd does not know a property of the annotations, or not
// its value. ErrNotImplemented: the host does not run systemd.
func (m *Manager) Start(ctx context.Context, s *Scope, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	err := m.start(ctx, s, pid)
	if errors.Is(err, errdefs.ErrAlreadyExists) && m.reset(ctx, s.Unit) == nil { // one that failed
		err = m.start(ctx, s, pid)
	}
	if err != nil {
		return fmt.Errorf("start %s in %s: %w", s.Unit, s.Slice, err)
	}
	return nil
}

func (m *Manager) start(ctx context.Context, s *Scope, pid int) error {
	conn, err := m.connection(ctx)
	if err != nil {
		return err
	}
	properties := append([]property{
		prop("Description", "container "+s.ID),
		prop("Slice", s.Slice),
		prop("PIDs", []uint32{uint32(pid)}),
		prop("Delegate", true),
		prop("DefaultDependencies", false),
		prop("CollectMode", "inactive-or-failed"),
		prop("MemoryAccounting", true),
		prop("CPUAccounting", true),
		prop("IOAccounting", true),
		prop("TasksAccounting", true),
	}, s.properties...)
	return job(ctx, conn, s.Unit, "StartTransientUnit", s.Unit, "replace", properties, []struct {
		Name       string
		Properties []property
	}{})
}

// job calls a method that returns a job for the unit, and waits for its end.
func job(ctx context.Context, conn *dbus.Conn, unit, method string, args ...any) error {
	// Of the jobs of the host, of which there may be many, this unit's alone. The
	// job may be over before the method returns.
	match := []dbus.MatchOption{
		dbus.WithMatchInterface(interfaze), dbus.WithMatchMember("JobRemoved"), dbus.WithMatchArg(2, unit),
	}
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	defer conn.RemoveSignal(signals)
	if err := conn.AddMatchSignalContext(ctx, match...); err != nil {
		return classify(err)
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.RemoveMatchSignalContext(last, match...) // fails when the connection did, and is of no use then
	}()
	var path dbus.ObjectPath
	if err := call(ctx, conn, method, []any{&path}, args...); err != nil {
		return err
	}
	for {
		select {
		case signal, ok := <-signals:
			if !ok {
				return classify(dbus.ErrClosed)
			}
			var id uint32
			var removed dbus.ObjectPath
			var name, result string
			if dbus.Store(signal.Body, &id, &removed, &name, &result) != nil || removed != path {
				continue
			}
			if result != "done" {
				return fmt.Errorf("its job ended as %q: %w", result, errdefs.ErrUnavailable)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("systemd has not done it: %w", ctx.Err())
		}
	}
}

// Tell tells systemd of the limits that the kernel has for the scope, which Limits
// made of them, until the next boot.
func (m *Manager) Tell(ctx context.Context, unit string, limits Limits) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	conn, err := m.connection(ctx)
	if err == nil {
		err = call(ctx, conn, "SetUnitProperties", nil, unit, true, []property(limits))
	}
	if err != nil {
		return fmt.Errorf("set limits of %s: %w", unit, err)
	}
	return nil
}

// Stop ends the scope, if it is still there, and makes systemd forget that it
// failed, if it did. It waits until systemd has taken note, no longer, and no more
// than a part of Patience.
func (m *Manager) Stop(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, Patience/6)
	defer cancel()
	conn, err := m.connection(ctx)
	if err == nil {
		err = call(ctx, conn, "StopUnit", []any{new(dbus.ObjectPath)}, unit, "replace")
	}
	if err == nil || errdefs.IsNotFound(err) {
		err = m.reset(ctx, unit)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("stop %s: %w", unit, err)
	}
	return nil
}

// reset makes systemd forget a unit that failed.
func (m *Manager) reset(ctx context.Context, unit string) error {
	conn, err := m.connection(ctx)
	if err != nil {
		return err
	}
	return call(ctx, conn, "ResetFailedUnit", nil, unit)
}
