// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// unifiedSettings: any cgroup2 file by its name, each line of a value in a write
// of its own, in the order of the names. The prefix of a name is its
// controller; "cgroup." files are in every group.
//
// An empty value is written as such, as by runc: that changes nothing, but a file
// that is not there is an error with it too.
func unifiedSettings(res *specs.LinuxResources) ([]setting, error) {
	var s []setting
	for _, file := range slices.Sorted(maps.Keys(res.Unified)) {
		field := fmt.Sprintf("unified[%q]", file)
		controller, rest, ok := strings.Cut(file, ".")
		if !ok || controller == "" || rest == "" || strings.ContainsAny(file, "/\x00") {
			return nil, invalid(field, "not like CONTROLLER.PARAMETER")
		}
		if why, ok := notLimits[file]; ok {
			return nil, invalid(field, why)
		}
		s = append(s, setting{field: field, controller: controller, file: file, value: res.Unified[file], lines: true})
	}
	return s, nil
}

// notLimits are files that act on processes. They would turn what a shim does
// against the host, or make it wait for ever: cgroup.procs takes any process, which
// ends with the container then, and 0 is the shim itself.
var notLimits = map[string]string{
	"cgroup.freeze":  "it is no limit: the task is paused and resumed by calls",
	"cgroup.kill":    "it is no limit: it kills",
	"cgroup.procs":   "it is no limit: it would take a process of the host into the container",
	"cgroup.threads": "it is no limit: it would take a process of the host into the container",
	"cgroup.type":    "a container's cgroup is a domain",
}
