// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// access is a set of BPF_DEVCG_ACC_* bits.
type access uint32

const (
	accMknod access = 1 << iota
	accRead
	accWrite
	accAll = accMknod | accRead | accWrite
)

// deviceKind is BPF_DEVCG_DEV_*, or anyKind.
type deviceKind uint32

const (
	anyKind deviceKind = iota
	blockDevice
	charDevice
)

// anyNumber is a major or minor that a rule leaves open.
const anyNumber = -1

// deviceRule allows or denies an access to the devices that it matches.
type deviceRule struct {
	allow        bool
	kind         deviceKind
	major, minor int64 // or anyNumber
	access       access
}

// defaultDevices are what every container may use, as with runc: it may make
// any node, and use these. A device of linux.devices at the path of one of them
// takes its place in /dev, and then this one is not allowed by itself.
var defaultDevices = []struct {
	path string
	rule deviceRule
}{
	{"", deviceRule{true, charDevice, anyNumber, anyNumber, accMknod}},
	{"", deviceRule{true, blockDevice, anyNumber, anyNumber, accMknod}},
	{"/dev/null", deviceRule{true, charDevice, 1, 3, accAll}},
	{"/dev/random", deviceRule{true, charDevice, 1, 8, accAll}},
	{"/dev/full", deviceRule{true, charDevice, 1, 7, accAll}},
	{"/dev/tty", deviceRule{true, charDevice, 5, 0, accAll}},
	{"/dev/zero", deviceRule{true, charDevice, 1, 5, accAll}},
	{"/dev/urandom", deviceRule{true, charDevice, 1, 9, accAll}},
	{"", deviceRule{true, charDevice, 136, anyNumber, accAll}}, // /dev/pts/*, and /dev/console which is one of them
	{"", deviceRule{true, charDevice, 5, 2, accAll}},           // /dev/ptmx
	{"", deviceRule{true, charDevice, 10, 200, accAll}},        // /dev/net/tun, which users count on
}

// deviceRules is the list that the filter is made of: the spec's rules in order
// and the default devices behind them; what no rule allows is denied. For each
// kind of access the last rule that matches decides, so that "a" of everything
// wipes out what stands before it. Rules that can never decide are left out.
func deviceRules(rules []specs.LinuxDeviceCgroup, devices []specs.LinuxDevice) ([]deviceRule, error) {
	list := []deviceRule{{allow: false, kind: anyKind, major: anyNumber, minor: anyNumber, access: accAll}}
	for i, r := range rules {
		rule, err := parseRule(r)
		if err != nil {
			return nil, invalid(fmt.Sprintf("devices[%d]", i), err.Error())
		}
		list = append(list, rule)
	}
	for _, d := range defaultDevices {
		if d.path == "" || !has(devices, d.path) {
			list = append(list, d.rule)
		}
	}
	list = effective(list)
	return list, fits(list)
}

func has(devices []specs.LinuxDevice, path string) bool {
	for _, d := range devices {
		if d.Path == path {
			return true
		}
	}
	return false
}

// parseRule reads one rule of the spec.
func parseRule(r specs.LinuxDeviceCgroup) (deviceRule, error) {
	rule := deviceRule{allow: r.Allow, major: anyNumber, minor: anyNumber}
	switch r.Type {
	case "", "a":
	case "b":
		rule.kind = blockDevice
	case "c":
		rule.kind = charDevice
	default:
		return rule, fmt.Errorf("type %q is not a, b or c", r.Type)
	}
	for _, n := range []struct {
		name string
		from *int64
		to   *int64
	}{{"major", r.Major, &rule.major}, {"minor", r.Minor, &rule.minor}} {
		if n.from == nil {
			continue
		}
		if *n.from < anyNumber || *n.from > math.MaxUint32 {
			return rule, fmt.Errorf("%s %d is no device number", n.name, *n.from)
		}
		*n.to = *n.from
	}
	for _, c := range r.Access {
		i := strings.IndexRune("mrw", c)
		if i < 0 {
			return rule, fmt.Errorf("access %q is not made of r, w and m", r.Access)
		}
		rule.access |= 1 << i
	}
	if rule.access == 0 {
		return rule, fmt.Errorf("access is empty")
	}
	return rule, nil
}

// effective drops the rules that later ones hide. It looks at each once.
func effective(list []deviceRule) []deviceRule {
	kept := make([]deviceRule, 0, len(list))
	later := hiders{}
	for _, r := range slices.Backward(list) {
		if !later.hide(r) {
			kept = append(kept, r)
			later[r.devices()] |= 1 << r.access
		}
	}
	slices.Reverse(kept)
	return kept
}

// hiders are rules by the devices that they match, each as the bit of its access: a
// set of sets.
type hiders map[deviceRule]uint8

// devices is a rule without what it says of the devices that it matches.
func (r deviceRule) devices() deviceRule {
	return deviceRule{kind: r.kind, major: r.major, minor: r.minor}
}

// hide reports whether one of the rules decides whenever r would: it matches all that
// r does, for no less access.
func (h hiders) hide(r deviceRule) bool {
	for open := range 8 { // which of kind, major and minor the rule leaves open
		d := r.devices()
		if open&1 != 0 {
			d.kind = anyKind
		}
		if open&2 != 0 {
			d.major = anyNumber
		}
		if open&4 != 0 {
			d.minor = anyNumber
		}
		for access := r.access; access <= accAll; access++ {
			if r.access&^access == 0 && h[d]&(1<<access) != 0 {
				return true
			}
		}
	}
	return false
}

// allowsAll reports whether the rules deny nothing. Precondition: effective
// rules.
func allowsAll(list []deviceRule) bool {
	for _, r := range list {
		if !r.allow {
			return false
		}
	}
	return true
}
