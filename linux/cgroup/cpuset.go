// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cpusetSettings: cpuset.cpus and cpuset.mems (kernel 5.0).
func cpusetSettings(res *specs.LinuxResources) ([]setting, error) {
	if res.CPU == nil {
		return nil, nil
	}
	var s []setting
	if res.CPU.Cpus != "" {
		s = append(s, setting{field: "cpu.cpus", controller: "cpuset", file: "cpuset.cpus", value: res.CPU.Cpus})
	}
	if res.CPU.Mems != "" {
		s = append(s, setting{field: "cpu.mems", controller: "cpuset", file: "cpuset.mems", value: res.CPU.Mems})
	}
	return s, nil
}
