// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"strconv"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/sys"
)

// writeOOMScore sets process.oomScoreAdj, where it is set. Precondition: pid is a
// child that nobody has waited for.
func writeOOMScore(pid int, p *specs.Process) error {
	if p.OOMScoreAdj == nil {
		return nil
	}
	value := strconv.Itoa(*p.OOMScoreAdj)
	if err := sys.WriteProc(strconv.Itoa(pid)+"/oom_score_adj", value); err != nil {
		return fmt.Errorf("set oom_score_adj to %s: %w", value, err)
	}
	return nil
}

// timeOffsets are linux.timeOffsets as timens_offsets takes them
// (time_namespaces(7)).
func timeOffsets(spec *specs.Spec) map[string]string {
	out := map[string]string{}
	for clock, o := range spec.Linux.TimeOffsets {
		out[clock] = fmt.Sprintf("%d %d", o.Secs, o.Nanosecs)
	}
	return out
}

// heldCaps are the capabilities in the shim's bounding set: no other can be given
// to a container.
var heldCaps = sync.OnceValue(func() capSet {
	var held capSet
	for i := range len(capabilityNames) {
		if v, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(i), 0, 0, 0); err == nil && v == 1 {
			held |= 1 << i
		}
	}
	return held
})

// lastCap is the kernel's highest capability.
var lastCap = sync.OnceValue(func() int {
	for i := 0; i < 64; i++ {
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(i), 0, 0, 0); err != nil {
			return i - 1
		}
	}
	return 63
})

// hierarchy is the host's cgroup2 tree, open for the life of the shim.
var hierarchy = sync.OnceValues(cgroup.OpenHierarchy)
