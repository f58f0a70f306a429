// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux/fault"
)

// compile turns resources into settings in the order in which they must be written. Its
// error names the field that is wrong (ErrInvalidArgument) or that cgroup v2 lacks
// (ErrNotImplemented). devices.go compiles the device rules.
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

// Check returns an error unless the resources can be honoured where these controllers
// are available. The error names the first field that cannot: ErrInvalidArgument
// for a value that means nothing, ErrNotImplemented for a field that cgroup v2 lacks
// or whose controller is absent. A value equal to the kernel's default
// (cpu.shares 1024, pids.limit -1, ...) needs no controller. Check makes no system call.
func Check(res *specs.LinuxResources, controllers Controllers) error {
	_, err := need(res, controllers)
	if err != nil || res == nil {
		return err
	}
	_, err = deviceRules(res.Devices, nil)
	return err
}

// need returns the controllers that the resources cannot do without.
func need(res *specs.LinuxResources, available Controllers) (Controllers, error) {
	settings, err := compile(res)
	if err != nil {
		return nil, err
	}
	var must Controllers
	for _, s := range settings {
		switch {
		case s.plain || must.has(s.controller) || s.controller == core:
		case !available.has(s.controller):
			return nil, s.absent()
		default:
			must = append(must, s.controller)
		}
	}
	return must, nil
}

// Apply sets the limits and the device filter of a spec's linux section. Nil means a
// section without resources, for which Apply still sets the filter. Call it before the
// first process is in the group.
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
		if err := settings[i].write(g.dir); err != nil {
			return err
		}
	}
	if linux.Resources != nil {
		g.asked.remember(linux.Resources.Memory)
	}
	return g.filter.apply(g.dir, linux)
}

// Update changes what res names and leaves the rest alone. It replaces the device filter
// in one step when res has device rules. It works on a frozen group. With
// memory.checkBeforeUpdate, a limit below the present use is ErrFailedPrecondition.
// After an error everything is as it was.
func (g *Group) Update(res *specs.LinuxResources) error {
	if res == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	whole := g.asked.complete(res)
	if err := checkUsage(g.dir, whole.Memory); err != nil {
		return err
	}
	settings, err := g.settings(whole)
	if err != nil {
		return err
	}
	if whole != res && value(res.Memory.Limit) == 0 { // the limit was needed for memory.swap alone
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

// change writes settings and returns what the files held before. After an error they hold
// that again.
func (g *Group) change(settings []setting) (journal, error) {
	before := noter{known: map[noteKey]bool{}}
	for i := range settings {
		s := &settings[i]
		n := len(before.journal)
		if !before.note(g.dir, s.file, s.value) && s.orFile != "" {
			before.note(g.dir, s.orFile, s.orValue)
		}
		if err := s.write(g.dir); err != nil {
			_ = before.journal[n:].back(g.dir) // as far as lines of it were written
			return nil, errors.Join(err, before.journal[:n].back(g.dir))
		}
	}
	return before.journal, nil
}

// settings returns the settings to write. It is an error if the controller of one of them
// is absent.
func (g *Group) settings(res *specs.LinuxResources) ([]setting, error) {
	settings, err := compile(res)
	if err != nil || len(settings) == 0 {
		return nil, err
	}
	have, err := g.controllers()
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
		return s.controller != core && !have.has(s.controller) // a plain one
	}), nil
}
