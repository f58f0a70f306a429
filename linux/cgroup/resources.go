// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fault"
)

// setting is one value of linux.resources on its way to one cgroup file.
// compile makes them without looking at the kernel; write sends them.
type setting struct {
	field      string // where the spec has it, for messages
	controller string
	file       string
	value      string
	// plain: the value is what the kernel does anyway, so that no controller is
	// needed for it.
	plain bool

	// What differs from "write value to file":

	orFile, orValue string // where file does not exist
	absentOK        bool   // no such file: nothing to do
	soft            bool   // EINVAL is no error: a later setting repeats it
	keepFirst       bool   // value follows the first word that the file has now
	lines           bool   // one write(2) for each line
}

// compile turns resources into settings in the order they must be written in,
// or says which field is wrong (ErrInvalidArgument) or not for cgroup v2
// (ErrNotImplemented). Device rules are apart: see devices.go.
func compile(res *specs.LinuxResources) ([]setting, error) {
	if res == nil {
		return nil, nil
	}
	var all []setting
	for _, part := range []func(*specs.LinuxResources) ([]setting, error){
		pidsSettings,
		memorySettings,
		ioSettings,
		cpuSettings,
		cpusetSettings,
		hugetlbSettings,
		rdmaSettings,
		networkSettings,
		unifiedSettings, // last: it overrides the others
	} {
		s, err := part(res)
		if err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
	return all, nil
}

// Check says whether the resources can be honoured where these controllers are
// available. The error names the first field that cannot: ErrInvalidArgument
// for a value that means nothing, ErrNotImplemented for what cgroup v2 has not
// or whose controller is absent. A value equal to the kernel's default
// (cpu.shares 1024, pids.limit -1, ...) needs no controller. Pure.
func Check(res *specs.LinuxResources, controllers Controllers) error {
	_, err := need(res, controllers)
	if err != nil || res == nil {
		return err
	}
	_, err = deviceRules(res.Devices, nil)
	return err
}

// need is the set of controllers that the resources cannot do without.
func need(res *specs.LinuxResources, available Controllers) (Controllers, error) {
	settings, err := compile(res)
	if err != nil {
		return nil, err
	}
	var must Controllers
	for _, s := range settings {
		switch {
		case s.plain || must.Has(s.controller) || s.controller == core:
		case !available.Has(s.controller):
			return nil, s.absent()
		default:
			must = append(must, s.controller)
		}
	}
	return must, nil
}

// absent is the refusal of a setting for want of its controller.
func (s *setting) absent() error {
	return unsupported(s.field, fmt.Sprintf("the cgroup controller %q is not available", s.controller))
}

func unsupported(field, why string) error {
	return fmt.Errorf("linux.resources.%s: %s: %w", field, why, errdefs.ErrNotImplemented)
}

func invalid(field, why string) error {
	return fmt.Errorf("linux.resources.%s: %s: %w", field, why, errdefs.ErrInvalidArgument)
}

// Apply sets the limits and the device filter of a spec's linux section; nil is
// one without resources, which still gets the filter. Call it before the first
// process is in the group.
func (g *Group) Apply(linux *specs.Linux) error {
	if linux == nil {
		linux = &specs.Linux{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	settings, err := g.settings(linux.Resources)
	if err != nil {
		return err
	}
	for i := range settings {
		if err := g.set(&settings[i]); err != nil {
			return err
		}
	}
	if linux.Resources != nil {
		g.asked.remember(linux.Resources.Memory)
	}
	return g.filter.apply(g.dir, linux)
}

// Update changes what res names and leaves the rest alone; the device filter is
// replaced in one step when res has device rules. It works on a frozen group.
// With memory.checkBeforeUpdate, a limit below the present use is
// ErrFailedPrecondition. After an error everything is as it was.
func (g *Group) Update(res *specs.LinuxResources) error {
	if res == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	whole := g.asked.complete(res)
	if err := g.checkUsage(whole.Memory); err != nil {
		return err
	}
	settings, err := g.settings(whole)
	if err != nil {
		return err
	}
	if whole != res && value(res.Memory.Limit) == 0 { // it was for memory.swap alone
		settings = slices.DeleteFunc(settings, func(s setting) bool { return s.field == "memory.limit" })
	}
	before, err := g.change(settings)
	if err != nil {
		return err
	}
	fault.Point("update.limits-written")
	if err := g.filter.update(g.dir, res.Devices); err != nil {
		return errors.Join(err, before.back(g.dir))
	}
	g.asked.remember(whole.Memory)
	return nil
}

// change writes settings and returns what was before; on error, that is there
// again.
func (g *Group) change(settings []setting) (journal, error) {
	before := noter{known: map[noteKey]bool{}}
	for i := range settings {
		s := &settings[i]
		n := len(before.journal)
		if !before.note(g.dir, s.file, s.value) && s.orFile != "" {
			before.note(g.dir, s.orFile, s.orValue)
		}
		if err := g.set(s); err != nil {
			_ = before.journal[n:].back(g.dir) // as far as lines of it were written
			return nil, errors.Join(err, before.journal[:n].back(g.dir))
		}
	}
	return before.journal, nil
}

// settings are those that are to be written. None is when one of them cannot be
// for want of a controller.
func (g *Group) settings(res *specs.LinuxResources) ([]setting, error) {
	settings, err := compile(res)
	if err != nil || len(settings) == 0 {
		return nil, err
	}
	have, err := g.Controllers()
	if gone(err) || errors.Is(err, os.ErrClosed) {
		return nil, fmt.Errorf("limit cgroup %s: it was removed: %w", g.path, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if _, err := need(res, have); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(settings, func(s setting) bool {
		return s.controller != core && !have.Has(s.controller) // a plain one
	}), nil
}

// SettingError is a limit that the kernel refused. It is ErrInvalidArgument
// where the value is to blame, ErrNotImplemented where the kernel has no such
// file or the device no such policy, besides the errno.
type SettingError struct {
	Field string // below linux.resources
	Value string
	Err   error
}

func (e *SettingError) Error() string {
	return fmt.Sprintf("set linux.resources.%s to %q: %v", e.Field, e.Value, e.Err)
}

// Unwrap returns the cause and the errdefs sentinel that goes with it.
func (e *SettingError) Unwrap() []error {
	switch {
	case errors.Is(e.Err, unix.EINVAL), errors.Is(e.Err, unix.ERANGE), errors.Is(e.Err, unix.ENODEV):
		return []error{e.Err, errdefs.ErrInvalidArgument}
	case errors.Is(e.Err, unix.ENOENT), errors.Is(e.Err, unix.EOPNOTSUPP):
		return []error{e.Err, errdefs.ErrNotImplemented}
	}
	return []error{e.Err}
}
