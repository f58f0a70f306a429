// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// pidsSettings: pids.max. -1 is no limit. 0 is a limit since runtime-spec 1.3,
// but a group with pids.max 0 could not be cloned into: it becomes 1, init
// alone, as in runc and systemd, and no fork succeeds either way.
func pidsSettings(res *specs.LinuxResources) ([]setting, error) {
	if res.Pids == nil || res.Pids.Limit == nil {
		return nil, nil
	}
	n := *res.Pids.Limit
	if n == 0 {
		n = 1
	}
	return []setting{{field: "pids.limit", controller: "pids", file: "pids.max", value: limit(n), plain: n < 0}}, nil
}
