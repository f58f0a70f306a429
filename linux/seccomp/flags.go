// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// FlagTSync is in the specification's text, not in its Go types.
const FlagTSync specs.LinuxSeccompFlag = "SECCOMP_FILTER_FLAG_TSYNC"

// Flag is a flag of the specification and of seccomp(2).
type Flag struct {
	Name specs.LinuxSeccompFlag
	Bit  uint // of SECCOMP_SET_MODE_FILTER
	With uint // another that the kernel wants beside it
}

// Flags are the known ones.
var Flags = [...]Flag{
	{Name: FlagTSync, Bit: unix.SECCOMP_FILTER_FLAG_TSYNC},
	{Name: specs.LinuxSeccompFlagSpecAllow, Bit: unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	{Name: specs.LinuxSeccompFlagLog, Bit: unix.SECCOMP_FILTER_FLAG_LOG},
	{Name: specs.LinuxSeccompFlagWaitKillableRecv, Bit: unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, With: unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
}

// ActionNames are the actions of the specification, all of which are known.
func ActionNames() []string {
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = string(a.name)
	}
	return names
}

// OperatorNames are those of the specification, likewise.
func OperatorNames() []string {
	names := make([]string, len(operators))
	for i, o := range operators {
		names[i] = string(o)
	}
	slices.Sort(names)
	return names
}

// ArchNames are those of the specification, likewise.
func ArchNames() []string {
	var names []string
	for _, a := range architectures {
		names = append(names, string(a.name))
	}
	for _, a := range foreign {
		names = append(names, string(a))
	}
	slices.Sort(names)
	return names
}

// readFlags is a section's flags as bits of seccomp(2). No list at all means
// SPEC_ALLOW, as to runc: the mitigation that it turns off is no longer worth its
// price (Linux 5.16 made the same the default). TSYNC is about other threads, of
// which a process that is about to execve has none; the kernel refuses it beside a
// listener.
func readFlags(list []specs.LinuxSeccompFlag, notify bool) (bits uint, err error) {
	if list == nil {
		bits = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for i, name := range list {
		field := fmt.Sprintf("flags[%d]", i)
		at := slices.IndexFunc(Flags[:], func(f Flag) bool { return f.Name == name })
		switch {
		case at < 0:
			return 0, invalid(field, "unknown flag %q", name)
		case Flags[at].With != 0 && !notify:
			return 0, invalid(field, "%s without an action %s", name, specs.ActNotify)
		case name != FlagTSync:
			bits |= Flags[at].Bit
		}
	}
	if notify {
		bits |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	return bits, nil
}
