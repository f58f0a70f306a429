// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// flagTSync is in the specification's text, but not in its Go types.
const flagTSync specs.LinuxSeccompFlag = "SECCOMP_FILTER_FLAG_TSYNC"

// Flag is a flag of the specification with that of seccomp(2).
type Flag struct {
	Name specs.LinuxSeccompFlag
	Bit  uint // of SECCOMP_SET_MODE_FILTER
	With uint // the flag that the kernel wants beside it, or 0
}

// Flags are the flags of the specification.
var Flags = [...]Flag{
	{Name: flagTSync, Bit: unix.SECCOMP_FILTER_FLAG_TSYNC},
	{Name: specs.LinuxSeccompFlagSpecAllow, Bit: unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	{Name: specs.LinuxSeccompFlagLog, Bit: unix.SECCOMP_FILTER_FLAG_LOG},
	{
		Name: specs.LinuxSeccompFlagWaitKillableRecv,
		Bit:  unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		With: unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
	},
}

// ActionNames returns the actions of the specification. All are supported.
func ActionNames() []string {
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = string(a.name)
	}
	return names
}

// OperatorNames returns the operators of the specification. All are supported.
func OperatorNames() []string {
	names := make([]string, len(operators))
	for i, o := range operators {
		names[i] = string(o)
	}
	slices.Sort(names)
	return names
}

// ArchNames returns the architectures of the specification. All are accepted.
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

// readFlags returns a section's flags as bits of seccomp(2). No list means SPEC_ALLOW, as
// in runc: the mitigation that this flag turns off is no longer worth its price (Linux
// 5.16 turns it off by default). TSYNC is dropped: it is about other threads, and a
// process before its execve has none. The kernel refuses it beside a listener.
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
		case name != flagTSync:
			bits |= Flags[at].Bit
		}
	}
	if notify {
		bits |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	return bits, nil
}
