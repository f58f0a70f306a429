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

// property is a property of a unit in D-Bus's form.
type property struct {
	Name  string
	Value dbus.Variant
}

func prop(name string, value any) property { return property{name, dbus.MakeVariant(value)} }

// Start makes the scope with the process in its cgroup, and waits for the end of the job.
// It returns ErrAlreadyExists if a unit of this name runs, ErrInvalidArgument if systemd
// does not accept a property of the annotations, and ErrNotImplemented if the host does not
// run systemd.
func (m *Manager) Start(ctx context.Context, s *Scope, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := false
	err := m.use(ctx, func(b *bus) error {
		err := b.start(ctx, s, pid)
		if !errdefs.IsAlreadyExists(err) {
			again = true
			return err
		}
		if again && b.has(ctx, s.Unit, pid) { // the call before made it; its answer was lost
			return nil
		}
		for _, free := range []func() error{
			func() error { return b.reset(ctx, s.Unit) }, // one that failed
			func() error { return b.end(ctx, s) },
		} {
			// Not found: it ended by itself meanwhile.
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

// errUsed says that somebody uses the unit.
var errUsed = errors.New("in use")

// end ends a unit of the scope's name if systemd missed its end.
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
	if errdefs.IsNotFound(err) { // the unit failed, and systemd has forgotten it
		return fmt.Errorf("%w: %w", errJob, errdefs.ErrUnavailable)
	}
	return err
}

// knows reports whether scopes have the property. It asks init.scope, which every host has.
func (b *bus) knows(ctx context.Context, property string) bool {
	_, err := b.property(ctx, object+"/unit/init_2escope", "Scope", property)
	return err == nil
}

// errJob says that a job did not end well.
var errJob = errors.New("its job failed")

// job calls a method that returns a job for the unit, and waits for the job's end.
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
	look := time.NewTicker(time.Second) // a signal may be lost when systemd re-executes itself
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

// Tell sets the scope's limits in systemd, until the next boot, to what the kernel has. It
// returns when systemd has written them to the kernel. Properties that only a recent
// systemd has are left out if this one does not know them.
func (m *Manager) Tell(ctx context.Context, unit string, limits Limits) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
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
		// systemd answers before it writes to the kernel, but writes before it reads
		// another message.
		return b.object(ctx, object, "org.freedesktop.DBus.Peer.Ping", nil)
	})
	if err != nil {
		return fmt.Errorf("set limits of %s: %w", unit, err)
	}
	return nil
}

// Stop ends the scope, if it is still there, and makes systemd forget that it failed, if
// it did. Then the name can be used again. Stop waits a third of patience at most.
func (m *Manager) Stop(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, patience/3)
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
