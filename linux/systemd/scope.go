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
		for _, free := range []func() error{
			func() error { return b.reset(ctx, s.Unit) }, // one that failed
			func() error { return b.end(ctx, s) },
		} {
			// It may end by itself meanwhile: then it is not found.
			if errFree := free(); errFree != nil && !errdefs.IsNotFound(errFree) {
				continue
			}
			if err = b.start(ctx, s, pid); !errdefs.IsAlreadyExists(err) {
				again = true
				return err
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("start %s in %s: %w", s.Unit, s.Slice, err)
	}
	return nil
}

// errUsed is a unit that is somebody's.
var errUsed = errors.New("in use")

// end ends a unit of the scope's name whose end systemd has missed.
func (b *bus) end(ctx context.Context, s *Scope) error {
	over, err := b.over(ctx, s.Unit)
	if err != nil {
		return err
	}
	path, err := b.cgroup(ctx, s.Unit)
	if err != nil {
		return err
	}
	if !over || path != "" && !s.Empty(path) {
		return errUsed
	}
	return b.stop(ctx, s.Unit)
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
