// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux/netdev"
	"github.com/containerd-mini/mini/linux/resctrl"
)

// validate refuses, by the field's name, what the spec forbids
// (ErrInvalidArgument) and what mini does not do yet (ErrNotImplemented). What it
// lets through is honoured in full by the code that follows. Mounts, devices and
// resources are checked where they are read: mount.Prepare and cgroup.Check.
func validate(c *Config) error {
	spec := c.Spec
	if err := checkVersion(spec.Version); err != nil {
		return err
	}
	if spec.Linux == nil {
		return invalid("linux", "missing")
	}
	if spec.Root == nil || spec.Root.Path == "" {
		return invalid("root.path", "missing")
	}
	if spec.Process == nil {
		return invalid("process", "missing")
	}
	for _, check := range []func() error{
		func() error { return checkProcess("process", spec.Process) },
		func() error { return checkNamespaces(spec) },
		func() error { return checkUserNamespace(spec) },
		func() error { return checkNeeds(spec) },
		func() error { return checkSysctls(spec) },
		func() error { return checkHooks(spec) },
		func() error { return checkPaths(spec) },
		func() error { return checkMountCount(spec) },
		func() error { return checkMountLabel(spec.Linux.MountLabel) },
		func() error { return checkPersonality(spec.Linux.Personality) },
		func() error { return invalidIf("linux.intelRdt", resctrl.Check(spec.Linux.IntelRdt)) },
		func() error { _, err := readMemoryPolicy(spec.Linux.MemoryPolicy); return err },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkProcess checks the process of a container or of an exec.
func checkProcess(field string, p *specs.Process) error {
	if len(p.Args) == 0 || p.Args[0] == "" {
		return invalid(field+".args", "missing")
	}
	if !path.IsAbs(p.Cwd) {
		return invalid(field+".cwd", "%q is not absolute", p.Cwd)
	}
	if strings.IndexByte(p.Cwd, 0) >= 0 {
		return invalid(field+".cwd", "holds a NUL byte")
	}
	if err := checkStrings(field, p); err != nil {
		return err
	}
	const maxID uint32 = 1<<32 - 2 // the next is -1, which means "as it is" to the kernel
	if p.User.UID > maxID || p.User.GID > maxID {
		return invalid(field+".user", "id above %d", maxID)
	}
	if n := len(p.User.AdditionalGids); n > maxGroups {
		return invalid(field+".user.additionalGids", "%d groups, the kernel takes %d", n, maxGroups)
	}
	for i, gid := range p.User.AdditionalGids {
		if gid > maxID {
			return invalid(fmt.Sprintf("%s.user.additionalGids[%d]", field, i), "id above %d", maxID)
		}
	}
	if o := p.OOMScoreAdj; o != nil && (*o < -1000 || *o > 1000) {
		return invalid(field+".oomScoreAdj", "%d is not between -1000 and 1000", *o)
	}
	if err := checkRlimits(field, p.Rlimits); err != nil {
		return err
	}
	if err := checkLSM(field, p); err != nil {
		return err
	}
	if err := checkScheduler(field+".scheduler", p.Scheduler); err != nil {
		return err
	}
	if err := checkIOPriority(field+".ioPriority", p.IOPriority); err != nil {
		return err
	}
	_, err := cpuAffinity(field+".execCPUAffinity", p.ExecCPUAffinity)
	return err
}

// checkUserNamespace wants maps where, and only where, a user namespace is made.
func checkUserNamespace(spec *specs.Spec) error {
	l := spec.Linux
	mapped := len(l.UIDMappings) > 0 || len(l.GIDMappings) > 0
	switch {
	case newNamespace(spec, specs.UserNamespace):
		if len(l.UIDMappings) == 0 {
			return invalid("linux.uidMappings", "missing for a new user namespace")
		}
		if len(l.GIDMappings) == 0 {
			return invalid("linux.gidMappings", "missing for a new user namespace")
		}
	case mapped && !ownNamespace(spec, specs.UserNamespace):
		return invalid("linux.uidMappings", "without a user namespace")
	}
	if err := checkMapLines("linux.uidMappings", l.UIDMappings); err != nil {
		return err
	}
	return checkMapLines("linux.gidMappings", l.GIDMappings)
}

// checkNeeds wants a namespace of its own for what would otherwise change the
// host.
func checkNeeds(spec *specs.Spec) error {
	if spec.Hostname != "" && !ownNamespace(spec, specs.UTSNamespace) {
		return invalid("hostname", "without a uts namespace")
	}
	if spec.Domainname != "" && !ownNamespace(spec, specs.UTSNamespace) {
		return invalid("domainname", "without a uts namespace")
	}
	if len(spec.Linux.TimeOffsets) > 0 && !newNamespace(spec, specs.TimeNamespace) {
		return invalid("linux.timeOffsets", "without a new time namespace")
	}
	for clock := range spec.Linux.TimeOffsets {
		if clock != "monotonic" && clock != "boottime" {
			return invalid("linux.timeOffsets", "unknown clock %q", clock)
		}
	}
	if len(spec.Linux.NetDevices) > 0 && !ownNamespace(spec, specs.NetworkNamespace) {
		return invalid("linux.netDevices", "without a network namespace")
	}
	for name, d := range spec.Linux.NetDevices {
		for _, n := range []string{name, cmp.Or(d.Name, name)} {
			if err := invalidIf("linux.netDevices", netdev.Check(n)); err != nil {
				return err
			}
		}
	}
	const maxName = 64 // sethostname(2)
	if len(spec.Hostname) > maxName || len(spec.Domainname) > maxName {
		return invalid("hostname", "longer than %d bytes", maxName)
	}
	return nil
}

// checkPaths wants absolute paths where the specification does, and no annotation
// without a key.
func checkPaths(spec *specs.Spec) error {
	for field, paths := range map[string][]string{"linux.maskedPaths": spec.Linux.MaskedPaths, "linux.readonlyPaths": spec.Linux.ReadonlyPaths} {
		for i, p := range paths {
			if !path.IsAbs(p) {
				return invalid(fmt.Sprintf("%s[%d]", field, i), "%q is not absolute", p)
			}
		}
	}
	if _, empty := spec.Annotations[""]; empty {
		return invalid("annotations", "an empty key")
	}
	return nil
}

// invalidIf gives an error of the field's value its name and its class.
func invalidIf(field string, err error) error {
	if err == nil {
		return nil
	}
	return invalid(field, "%v", err)
}

func invalid(field, format string, args ...any) error {
	return fmt.Errorf("config.json: %s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

func notImplemented(field, format string, args ...any) error {
	return fmt.Errorf("config.json: %s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrNotImplemented)
}
