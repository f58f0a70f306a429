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
func unifiedSettings(res *specs.LinuxResources) ([]setting, error) {
	var s []setting
	for _, file := range slices.Sorted(maps.Keys(res.Unified)) {
		field := fmt.Sprintf("unified[%q]", file)
		controller, rest, ok := strings.Cut(file, ".")
		if !ok || controller == "" || rest == "" || strings.ContainsAny(file, "/\x00") {
			return nil, invalid(field, "not like CONTROLLER.PARAMETER")
		}
		s = append(s, setting{field: field, controller: controller, file: file, value: res.Unified[file], lines: true})
	}
	return s, nil
}
