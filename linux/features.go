// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/criu"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/seccomp"
	"github.com/containerd-mini/mini/linux/sys"
	"github.com/containerd-mini/mini/linux/systemd"
)

// Features is what `-info` tells of the runtime: only what works
// (features.md and features-linux.md of the runtime spec). An empty list or a
// false says "known and not supported", where nil would say "unknown".
func Features() *features.Features {
	yes, no := true, false
	_, err := criu.Find() // whether it works is not tried: that would start it
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         hookNames(),
		MountOptions:  mount.OptionNames(),
		Linux: &features.Linux{
			Namespaces:      namespaceNames(),
			Capabilities:    capabilityNames,
			Cgroup:          &features.Cgroup{V1: &no, V2: &yes, Systemd: &yes, SystemdUser: &no, Rdma: &yes},
			Seccomp:         seccompFeatures(),
			Apparmor:        &features.Apparmor{Enabled: &yes},
			Selinux:         &features.Selinux{Enabled: &yes},
			IntelRdt:        &features.IntelRdt{Enabled: &yes, Schemata: &yes, Monitoring: &yes},
			MemoryPolicy:    &features.MemoryPolicy{Modes: memoryModeNames(), Flags: memoryFlagNames()},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: &yes},
		},
		Annotations: map[string]string{
			"org.opencontainers.runc.checkpoint.enabled": strconv.FormatBool(err == nil),
		},
		PotentiallyUnsafeConfigAnnotations: []string{criuConfigAnnotation, systemd.AnnotationPrefix},
	}
}

// seccompFeatures is what of seccomp works with this kernel.
func seccompFeatures() *features.Seccomp {
	enabled := sys.SeccompAction(unix.SECCOMP_RET_ALLOW)
	f := &features.Seccomp{Enabled: &enabled, Actions: seccomp.ActionNames(), Operators: seccomp.OperatorNames(), Archs: seccomp.ArchNames()}
	for _, flag := range seccomp.Flags {
		f.KnownFlags = append(f.KnownFlags, string(flag.Name))
		if sys.SeccompFlags(flag.Bit | flag.With) {
			f.SupportedFlags = append(f.SupportedFlags, string(flag.Name))
		}
	}
	return f
}

func namespaceNames() []string {
	names := make([]string, len(nsFlags))
	for i, n := range nsFlags {
		names[i] = string(n.kind)
	}
	return names
}
