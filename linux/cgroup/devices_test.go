// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestDefaultDevices(t *testing.T) {
	decideFor := func(devices []specs.LinuxDevice, kind deviceKind, major, minor int64, want access) bool {
		list, err := deviceRules([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, devices)
		if err != nil {
			t.Fatal(err)
		}
		return decide(list, kind, major, minor, want)
	}
	for _, d := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}, {10, 200}, {136, 0}, {136, 77}} {
		if !decideFor(nil, charDevice, d[0], d[1], accAll) {
			t.Errorf("c %d:%d is denied", d[0], d[1])
		}
	}
	for _, c := range []struct {
		kind         deviceKind
		major, minor int64
		want         access
		allowed      bool
	}{
		{charDevice, 1, 1, accMknod, true},
		{blockDevice, 8, 0, accMknod, true},
		{charDevice, 1, 1, accRead, false},
		{charDevice, 5, 1, accRead, false}, // the host's console
		{blockDevice, 8, 0, accRead, false},
		{blockDevice, 1, 3, accWrite, false},
		{blockDevice, 8, 0, accMknod | accRead, false},
	} {
		if got := decideFor(nil, c.kind, c.major, c.minor, c.want); got != c.allowed {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if decideFor([]specs.LinuxDevice{{Path: "/dev/null", Major: 1, Minor: 11}}, charDevice, 1, 3, accRead) {
		t.Error("1:3 is allowed where the spec has another /dev/null")
	}
}

func TestRulesThatNeverDecideAreLeftOut(t *testing.T) {
	p := func(n int64) *int64 { return &n }
	list, err := deviceRules([]specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Major: p(1), Minor: p(11), Access: "r"},
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Major: p(1), Minor: p(3), Access: "rwm"}, // a default device again
	}, nil)
	if err != nil || len(list) != 1+len(defaultDevices) {
		t.Errorf("%d rules, %v: %+v", len(list), err, list)
	}
	list, err = deviceRules([]specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, nil)
	if err != nil || !allowsAll(list) {
		t.Errorf("a privileged container's rules deny something: %v, %+v", err, list)
	}
}
