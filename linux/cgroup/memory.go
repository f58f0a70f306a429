// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultSwappiness is vm.swappiness where nobody set it. cgroup v2 has no such
// file.
const defaultSwappiness = 60

// memorySettings returns memory.swap.max, memory.max and memory.low. 0 means "not given",
// as everywhere in runtimes, and -1 means no limit.
func memorySettings(res *specs.LinuxResources) ([]setting, error) {
	m := res.Memory
	if m == nil {
		return nil, nil
	}
	if err := checkV1Memory(m); err != nil {
		return nil, err
	}
	swap, err := swapMax(m)
	if err != nil {
		return nil, err
	}
	var s []setting
	if swap != "" {
		// Without swap accounting the file is absent: "max" and "0" hold anyway.
		s = append(s, setting{
			field:      "memory.swap",
			controller: "memory",
			file:       "memory.swap.max",
			value:      swap,
			plain:      swap == noLimit,
			absentOK:   swap == noLimit || swap == "0",
		})
	}
	for _, v := range []struct {
		field, file string
		bytes       int64
	}{
		{"memory.limit", "memory.max", value(m.Limit)},
		{"memory.reservation", "memory.low", value(m.Reservation)},
	} {
		if v.bytes < -1 {
			return nil, invalid(v.field, fmt.Sprintf("%d is no number of bytes", v.bytes))
		}
		if v.bytes == 0 {
			continue
		}
		// A reservation of -1 was cgroup v1's default too.
		s = append(s, setting{
			field:      v.field,
			controller: "memory",
			file:       v.file,
			value:      limit(v.bytes),
			plain:      v.bytes == -1,
		})
	}
	return s, nil
}

// swapMax turns the spec's memory.swap, which counts memory and swap together
// as cgroup v1 did, into memory.swap.max, which counts swap alone. "" is not
// given.
func swapMax(m *specs.LinuxMemory) (string, error) {
	memory, both := value(m.Limit), value(m.Swap)
	switch {
	case both == 0 && memory == -1: // cgroup v1: unlimited memory alone freed both
		return noLimit, nil
	case both == 0:
		return "", nil
	case both < -1:
		return "", invalid("memory.swap", fmt.Sprintf("%d is no number of bytes", both))
	case both == -1:
		return noLimit, nil
	case memory == -1: // nothing to subtract from
		return limit(both), nil
	case memory == 0:
		return "", invalid("memory.swap", "a limit of memory and swap needs memory.limit as well")
	case both < memory:
		why := fmt.Sprintf("%d of memory and swap is less than memory.limit %d", both, memory)
		return "", invalid("memory.swap", why)
	}
	return limit(both - memory), nil
}

// asked holds the last memory.limit and memory.swap, 0 for not given. The file
// of swap holds their difference, so an update of one of them needs the other.
type asked struct{ limit, swap int64 }

// complete adds to resources the one of the two that res leaves out. If res has both or
// neither, it returns res itself. Removing the limit of memory removes that of both, as
// with cgroup v1.
func (a *asked) complete(res *specs.LinuxResources) *specs.LinuxResources {
	if res.Memory == nil {
		return res
	}
	memory, was := *res.Memory, *a
	limit, swap := value(memory.Limit), value(memory.Swap)
	switch {
	case limit > 0 && swap == 0 && a.swap > 0:
		memory.Swap = &was.swap
	case limit == 0 && swap > 0 && a.limit != 0:
		memory.Limit = &was.limit
	default:
		return res
	}
	whole := *res
	whole.Memory = &memory
	return &whole
}

// remember keeps what was set.
func (a *asked) remember(m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	limit, swap := value(m.Limit), value(m.Swap)
	if limit != 0 {
		a.limit = limit
	}
	if swap != 0 || limit == -1 {
		a.swap = swap
	}
}

// checkV1Memory refuses what cgroup v2 has no file for.
func checkV1Memory(m *specs.LinuxMemory) error {
	switch {
	//lint:ignore SA1019 deprecated, and refused for that
	case value(m.Kernel) > 0:
		return unsupported("memory.kernel", "cgroup v2 has no limit of kernel memory alone")
	case value(m.KernelTCP) > 0:
		return unsupported("memory.kernelTCP", "cgroup v2 has no limit of TCP buffers alone")
	case m.Swappiness != nil && *m.Swappiness != defaultSwappiness:
		return unsupported("memory.swappiness", "cgroup v2 has no swappiness of a group")
	case value(m.DisableOOMKiller):
		return unsupported("memory.disableOOMKiller", "cgroup v2 always has an OOM killer")
	case m.UseHierarchy != nil && !*m.UseHierarchy:
		return unsupported("memory.useHierarchy", "cgroup v2 is always hierarchical")
	}
	return nil
}

// checkUsage refuses a new limit that is not above the present use, when the
// spec asks for that. It takes a use that cannot be read for none.
func checkUsage(dir *os.File, m *specs.LinuxMemory) error {
	if m == nil || !value(m.CheckBeforeUpdate) {
		return nil
	}
	data, err := readFile(dir, "memory.current")
	if err != nil {
		return nil // no memory controller: write says so
	}
	used := number(strings.TrimSpace(string(data)))
	for _, v := range []struct {
		field string
		bytes int64
	}{{"memory.limit", value(m.Limit)}, {"memory.swap", value(m.Swap)}} {
		if v.bytes > 0 && uint64(v.bytes) <= used {
			return fmt.Errorf("linux.resources.%s: %d is not more than the %d bytes in use: %w",
				v.field, v.bytes, used, errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}
