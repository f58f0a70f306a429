// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// networkSettings refuses network classes and priorities, which cgroup v2 has
// not.
func networkSettings(res *specs.LinuxResources) ([]setting, error) {
	switch n := res.Network; {
	case n == nil:
	case value(n.ClassID) != 0:
		return nil, unsupported("network.classID", "cgroup v2 has no network classes")
	case len(n.Priorities) > 0:
		return nil, unsupported("network.priorities", "cgroup v2 has no network priorities")
	}
	return nil, nil
}
