// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	again := false
	err := m.use(ctx, func(b *bus) error {
		err := b.start(ctx, s, pid)
		if !errdefs.IsAlreadyExists(err) {
			again = true
			return err
		}
		if again && b.has(ctx, s.Unit, pid) { // of the call before, whose answer was lost
			return nil
		}
		if b.reset(ctx, s.Unit) == nil { // one that failed
			err = b.start(ctx, s, pid)
		}
		if !errdefs.IsAlreadyExists(err) {
			return err
		}
		if over, _ := b.over(ctx, s.Unit); over && s.Empty() && b.stop(ctx, s.Unit) == nil {
			err = b.start(ctx, s, pid)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("start %s in %s: %w", s.Unit, s.Slice, err)
	}
	return nil
}

func (b *bus) start(ctx context.Context, s *Scope, pid int) error {
	properties := []property{
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
	}
	properties = append(properties, s.properties...)
	if s.OOMPolicy != "" && b.knows(ctx, "OOMPolicy") {
		properties = append(properties, prop("OOMPolicy", s.OOMPolicy))
	}
	err := b.job(ctx, s.Unit, "StartTransientUnit", s.Unit, "replace", properties, []struct {
		Name       string
		Properties []property
	}{})
	if errdefs.IsNotFound(err) { // it failed, and is forgotten
		return fmt.Errorf("%w: %w", errJob, errdefs.ErrUnavailable)
	}
	return err
}

// knows tells whether scopes have the property, by the one that every host has.
func (b *bus) knows(ctx context.Context, property string) bool {
	_, err := b.property(ctx, object+"/unit/init_2escope", "Scope", property)
	return err == nil
}

// has tells whether the process is in the unit.
func (b *bus) has(ctx context.Context, unit string, pid int) bool {
	var of, named dbus.ObjectPath
	err := b.call(ctx, "GetUnitByPID", []any{&of}, uint32(pid))
	if err == nil {
		err = b.call(ctx, "GetUnit", []any{&named}, unit)
	}
	return err == nil && of == named
}

// errJob is a job that did not end well.
var errJob = errors.New("its job failed")

// job calls a method that returns a job for the unit, and waits for its end.
func (b *bus) job(ctx context.Context, unit, method string, args ...any) error {
	signals, stop, err := b.watch(ctx, unit) // the job may be over before the method returns
	if err != nil {
		return err
	}
	defer stop()
	var path dbus.ObjectPath
	if err := b.call(ctx, method, []any{&path}, args...); err != nil {
		return err
	}
	look := time.NewTicker(time.Second) // a signal may be lost when systemd executes itself anew
	defer look.Stop()
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
				return fmt.Errorf("%w: %q: %w", errJob, result, errdefs.ErrUnavailable)
			}
			return nil
		case <-look.C:
			if over, err := b.over(ctx, unit); over || err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("systemd has not done it: %w", ctx.Err())
		}
	}
}

// over tells whether the unit waits for no job. ErrNotFound: there is no such
// unit.
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

// Tell tells systemd of limits that the kernel has for the scope, until the next
// boot, and returns when systemd has written them in its turn. A property that
// this systemd does not have is left out, if it is one that not all have.
func (m *Manager) Tell(ctx context.Context, unit string, limits Limits) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	err := m.use(ctx, func(b *bus) error {
		err := b.call(ctx, "SetUnitProperties", nil, unit, true, []property(limits))
		if errdefs.IsInvalidArgument(err) && slices.ContainsFunc(limits, recent) {
			old := slices.DeleteFunc(slices.Clone(limits), recent)
			err = b.call(ctx, "SetUnitProperties", nil, unit, true, []property(old))
		}
		if err != nil {
			return err
		}
		// The answer comes before the kernel is written to, but that before systemd
		// reads another message.
		return b.object(ctx, object, "org.freedesktop.DBus.Peer.Ping", nil)
	})
	if err != nil {
		return fmt.Errorf("set limits of %s: %w", unit, err)
	}
	return nil
}

// Stop ends the scope, if it is still there, and makes systemd forget that it
// failed, if it did: its name can be used again. It waits for that no more than a
// part of Patience.
func (m *Manager) Stop(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, Patience/3)
	defer cancel()
	if err := m.use(ctx, func(b *bus) error { return b.stop(ctx, unit) }); err != nil {
		return fmt.Errorf("stop %s: %w", unit, err)
	}
	return nil
}

func (b *bus) stop(ctx context.Context, unit string) error {
	err := b.job(ctx, unit, "StopUnit", unit, "replace")
	if err == nil || errdefs.IsNotFound(err) || errors.Is(err, errJob) {
		err = b.reset(ctx, unit)
	}
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// reset makes systemd forget a unit that failed.
func (b *bus) reset(ctx context.Context, unit string) error {
	return b.call(ctx, "ResetFailedUnit", nil, unit)
}
