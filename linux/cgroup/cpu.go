// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The kernel's defaults (Documentation/admin-guide/cgroup-v2.rst; the shares
// and the realtime period are cgroup v1's).
const (
	defaultShares   = 1024
	defaultPeriod   = 100_000
	defaultRTPeriod = 1_000_000
)

// cpuSettings returns cpu.idle, cpu.weight, cpu.max and cpu.max.burst.
func cpuSettings(res *specs.LinuxResources) ([]setting, error) {
	c := res.CPU
	if c == nil {
		return nil, nil
	}
	if value(c.RealtimeRuntime) != 0 {
		return nil, unsupported("cpu.realtimeRuntime", "cgroup v2 has no realtime budget")
	}
	if p := value(c.RealtimePeriod); p != 0 && p != defaultRTPeriod {
		return nil, unsupported("cpu.realtimePeriod", "cgroup v2 has no realtime budget")
	}
	var s []setting
	if c.Idle != nil {
		if *c.Idle != 0 && *c.Idle != 1 {
			return nil, invalid("cpu.idle", fmt.Sprintf("%d is neither 0 nor 1", *c.Idle))
		}
		s = append(s, setting{
			field:      "cpu.idle",
			controller: "cpu",
			file:       "cpu.idle",
			value:      strconv.FormatInt(*c.Idle, 10),
			plain:      *c.Idle == 0,
			absentOK:   *c.Idle == 0,
		})
	}
	if q := value(c.Quota); q > 0 && value(c.Burst) > uint64(q) {
		return nil, invalid("cpu.burst", fmt.Sprintf("%d is above the quota %d", *c.Burst, q))
	}
	// An idle group has the least weight there is, and the kernel refuses
	// another for it.
	if shares := value(c.Shares); shares != 0 && value(c.Idle) == 0 {
		s = append(s, setting{
			field:      "cpu.shares",
			controller: "cpu",
			file:       "cpu.weight",
			value:      strconv.FormatUint(weight(shares), 10),
			plain:      shares == defaultShares,
		})
	}
	return append(s, quotaSettings(c)...), nil
}

// quotaSettings returns cpu.max and cpu.max.burst. The kernel keeps burst <= quota: a
// smaller burst must go before a smaller quota, a greater one after a greater quota.
func quotaSettings(c *specs.LinuxCPU) []setting {
	max := maxSettings(c)
	if c.Burst == nil {
		return max
	}
	burst := setting{
		field:      "cpu.burst",
		controller: "cpu",
		file:       "cpu.max.burst",
		value:      strconv.FormatUint(value(c.Burst), 10),
		plain:      value(c.Burst) == 0,
		absentOK:   value(c.Burst) == 0,
	}
	if len(max) == 0 {
		return []setting{burst}
	}
	first := burst
	first.soft = true
	return slices.Concat([]setting{first}, max, []setting{burst})
}

// maxSettings returns cpu.max: "QUOTA PERIOD". If the period is left out, it stays as it
// is.
func maxSettings(c *specs.LinuxCPU) []setting {
	quota, period := value(c.Quota), value(c.Period)
	s := setting{field: "cpu.quota", controller: "cpu", file: "cpu.max"}
	switch {
	case quota == 0 && period == 0:
		return nil
	case quota == 0:
		s.field, s.keepFirst = "cpu.period", true
	case quota < 0:
		s.value = "max"
	default:
		s.value = strconv.FormatInt(quota, 10)
	}
	if period != 0 {
		if !s.keepFirst {
			s.value += " "
		}
		s.value += strconv.FormatUint(period, 10)
	}
	s.plain = quota <= 0 && (period == 0 || period == defaultPeriod)
	return []setting{s}
}

// weight converts cpu.shares of cgroup v1, 2 to 262144 with 1024 as default, to
// cpu.weight of cgroup v2, 1 to 10000 with 100 as default: the quadratic curve
// in log2(shares) through these three points, as runc since 1.3.2, crun since
// 1.23 and Kubernetes have it. 0 is no shares and no weight.
func weight(shares uint64) uint64 {
	switch {
	case shares == 0:
		return 0
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}
