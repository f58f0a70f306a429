// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rdmaSettings: rdma.max, a line for each device.
func rdmaSettings(res *specs.LinuxResources) ([]setting, error) {
	var s []setting
	for _, device := range slices.Sorted(maps.Keys(res.Rdma)) {
		l := res.Rdma[device]
		field := fmt.Sprintf("rdma[%q]", device)
		if device == "" || strings.ContainsAny(device, " \n") {
			return nil, invalid(field, "not a device's name")
		}
		line := device
		if l.HcaHandles != nil {
			line += fmt.Sprintf(" hca_handle=%d", *l.HcaHandles)
		}
		if l.HcaObjects != nil {
			line += fmt.Sprintf(" hca_object=%d", *l.HcaObjects)
		}
		if line == device {
			return nil, invalid(field, "it has neither hcaHandles nor hcaObjects")
		}
		s = append(s, setting{field: field, controller: "rdma", file: "rdma.max", value: line})
	}
	return s, nil
}
