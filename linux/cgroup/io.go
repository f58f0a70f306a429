// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ioSettings: io.bfq.weight or else io.weight, and io.max.
func ioSettings(res *specs.LinuxResources) ([]setting, error) {
	b := res.BlockIO
	if b == nil {
		return nil, nil
	}
	if value(b.LeafWeight) != 0 {
		return nil, unsupported("blockIO.leafWeight", "cgroup v2 has no leaf weight")
	}
	var s []setting
	if w := value(b.Weight); w != 0 {
		set, err := weightSetting("blockIO.weight", "", w)
		if err != nil {
			return nil, err
		}
		s = append(s, set)
	}
	for i, d := range b.WeightDevice {
		field := fmt.Sprintf("blockIO.weightDevice[%d]", i)
		if d.Weight == nil && d.LeafWeight == nil {
			return nil, invalid(field, "neither weight nor leafWeight")
		}
		if value(d.LeafWeight) != 0 {
			return nil, unsupported(field+".leafWeight", "cgroup v2 has no leaf weight")
		}
		if value(d.Weight) == 0 {
			continue
		}
		set, err := weightSetting(field, fmt.Sprintf("%d:%d ", d.Major, d.Minor), *d.Weight)
		if err != nil {
			return nil, err
		}
		s = append(s, set)
	}
	return append(s, throttles(b)...), nil
}

// throttles are the lines of io.max.
func throttles(b *specs.LinuxBlockIO) []setting {
	var s []setting
	for _, t := range []struct {
		name, key string
		devices   []specs.LinuxThrottleDevice
	}{
		{"throttleReadBpsDevice", "rbps", b.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", "wbps", b.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", "riops", b.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", "wiops", b.ThrottleWriteIOPSDevice},
	} {
		for i, d := range t.devices {
			rate := noLimit // 0 takes the limit away, as in cgroup v1
			if d.Rate != 0 {
				rate = strconv.FormatUint(d.Rate, 10)
			}
			s = append(s, setting{
				field: fmt.Sprintf("blockIO.%s[%d]", t.name, i), controller: "io", file: "io.max",
				value: fmt.Sprintf("%d:%d %s=%s", d.Major, d.Minor, t.key, rate), plain: d.Rate == 0,
			})
		}
	}
	return s
}

// weightSetting is the weight of a device, or without one of the group. The
// BFQ scheduler's file, which has cgroup v1's scale up to 1000, is there when
// the scheduler is; else it is io.weight with its 1 to 10000.
func weightSetting(field, device string, w uint16) (setting, error) {
	if w < 10 || w > 1000 {
		return setting{}, invalid(field, fmt.Sprintf("%d is not between 10 and 1000", w))
	}
	return setting{
		field: field, controller: "io",
		file: "io.bfq.weight", value: device + strconv.Itoa(int(w)),
		orFile: "io.weight", orValue: device + strconv.FormatUint(ioWeight(w), 10),
	}, nil
}

// ioWeight stretches blkio's 10..1000 over io.weight's 1..10000, as runc and
// crun do.
func ioWeight(w uint16) uint64 { return 1 + (uint64(w)-10)*9999/990 }
