// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containerd-mini/mini/linux/sys"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// filter is the device program of a group. The file keeps the program so that
// an update can name what it replaces; the attachment itself ends with the
// cgroup. Guarded by Group.mu.
type filter struct {
	devices []specs.LinuxDevice // of the spec, see defaultDevices
	code    []uint64            // what is attached
	prog    *os.File            // nil: none is
}

// apply attaches the filter of a spec.
func (f *filter) apply(dir *os.File, linux *specs.Linux) error {
	f.devices = linux.Devices
	var rules []specs.LinuxDeviceCgroup
	if linux.Resources != nil {
		rules = linux.Resources.Devices
	}
	return f.set(dir, rules)
}

// update replaces the filter; no rules leave it alone.
func (f *filter) update(dir *os.File, rules []specs.LinuxDeviceCgroup) error {
	if len(rules) == 0 {
		return nil
	}
	return f.set(dir, rules)
}

// set attaches a filter of the rules. Root of a user namespace may not, and needs
// none: nobody there can make device nodes, and those that are bound have the
// host's owners and modes. runc goes on without as well.
func (f *filter) set(dir *os.File, rules []specs.LinuxDeviceCgroup) error {
	list, err := deviceRules(rules, f.devices)
	if err != nil {
		return err
	}
	if allowsAll(list) && f.prog == nil {
		return nil // a privileged container: nothing to deny
	}
	code, err := assemble(list)
	if err != nil {
		return err
	}
	if slices.Equal(code, f.code) {
		return nil
	}
	prog, err := sys.LoadDeviceFilter(code)
	if errors.Is(err, os.ErrPermission) && f.prog == nil && sys.InUserNamespace() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load the device filter of %s: %w", dir.Name(), err)
	}
	if err := sys.AttachDeviceFilter(dir, prog, f.prog); err != nil {
		prog.Close()
		return err
	}
	if f.prog != nil {
		f.prog.Close()
	}
	f.prog, f.code = prog, code
	return nil
}

func (f *filter) close() error {
	if f.prog == nil {
		return nil
	}
	err := f.prog.Close()
	f.prog = nil
	return err
}
