// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/cgroups/v3/cgroup2/stats"
)

// cpu: times are there without the controller, throttling with it.
func (r *reader) cpu() *stats.CPUStat {
	kv := parseFlat(r.text("cpu.stat"))
	return &stats.CPUStat{
		UsageUsec:     kv["usage_usec"],
		UserUsec:      kv["user_usec"],
		SystemUsec:    kv["system_usec"],
		NrPeriods:     kv["nr_periods"],
		NrThrottled:   kv["nr_throttled"],
		ThrottledUsec: kv["throttled_usec"],
		NrBursts:      kv["nr_bursts"],
		BurstUsec:     kv["burst_usec"],
		PSI:           r.pressure("cpu.pressure"),
	}
}

func (r *reader) memory() *stats.MemoryStat {
	kv := parseFlat(r.text("memory.stat"))
	return &stats.MemoryStat{
		Anon:                  kv["anon"],
		File:                  kv["file"],
		KernelStack:           kv["kernel_stack"],
		Slab:                  kv["slab"],
		Sock:                  kv["sock"],
		Shmem:                 kv["shmem"],
		FileMapped:            kv["file_mapped"],
		FileDirty:             kv["file_dirty"],
		FileWriteback:         kv["file_writeback"],
		AnonThp:               kv["anon_thp"],
		InactiveAnon:          kv["inactive_anon"],
		ActiveAnon:            kv["active_anon"],
		InactiveFile:          kv["inactive_file"],
		ActiveFile:            kv["active_file"],
		Unevictable:           kv["unevictable"],
		SlabReclaimable:       kv["slab_reclaimable"],
		SlabUnreclaimable:     kv["slab_unreclaimable"],
		Pgfault:               kv["pgfault"],
		Pgmajfault:            kv["pgmajfault"],
		WorkingsetRefault:     workingset(kv, "refault"),
		WorkingsetActivate:    workingset(kv, "activate"),
		WorkingsetNodereclaim: kv["workingset_nodereclaim"],
		Pgrefill:              kv["pgrefill"],
		Pgscan:                kv["pgscan"],
		Pgsteal:               kv["pgsteal"],
		Pgactivate:            kv["pgactivate"],
		Pgdeactivate:          kv["pgdeactivate"],
		Pglazyfree:            kv["pglazyfree"],
		Pglazyfreed:           kv["pglazyfreed"],
		ThpFaultAlloc:         kv["thp_fault_alloc"],
		ThpCollapseAlloc:      kv["thp_collapse_alloc"],
		Usage:                 r.number("memory.current"),
		UsageLimit:            r.number("memory.max"),
		MaxUsage:              r.number("memory.peak"), // 5.19
		SwapUsage:             r.number("memory.swap.current"),
		SwapLimit:             r.number("memory.swap.max"),
		SwapMaxUsage:          r.number("memory.swap.peak"), // 6.5
		PSI:                   r.pressure("memory.pressure"),
	}
}

func (r *reader) memoryEvents() *stats.MemoryEvents {
	kv := parseFlat(r.text("memory.events"))
	return &stats.MemoryEvents{
		Low:          kv["low"],
		High:         kv["high"],
		Max:          kv["max"],
		Oom:          kv["oom"],
		OomKill:      kv["oom_kill"],
		OomGroupKill: kv["oom_group_kill"],
	}
}

func (r *reader) hugetlb() []*stats.HugeTlbStat {
	var list []*stats.HugeTlbStat
	for _, size := range hugePageSizes() {
		file := "hugetlb." + size
		list = append(list, &stats.HugeTlbStat{
			Pagesize: size,
			Current:  r.number(file + ".current"),
			Max:      r.number(file + ".max"),
			Failcnt:  flatKey(r.text(file+".events"), "max"),
		})
	}
	return list
}

// workingset sums a number of memory.stat that Linux 5.9 split in two.
func workingset(kv map[string]uint64, what string) uint64 {
	key := "workingset_" + what
	return kv[key] + kv[key+"_anon"] + kv[key+"_file"]
}

// hugePageSizes returns the sizes that this machine has, as the names of cgroup files
// write them.
var hugePageSizes = sync.OnceValue(func() []string {
	entries, err := os.ReadDir("/sys/kernel/mm/hugepages")
	if err != nil { // a kernel without huge pages has no hugetlb controller either
		return nil
	}
	var sizes []string
	for _, e := range entries {
		kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(e.Name(), "hugepages-"), "kB"), 10, 64)
		if err == nil {
			sizes = append(sizes, sizeName(kb))
		}
	}
	return sizes
})

// sizeName writes a huge page's size in KiB as the kernel does in a file's
// name (mm/hugetlb_cgroup.c, mem_fmt).
func sizeName(kb uint64) string {
	switch {
	case kb >= 1<<20:
		return fmt.Sprintf("%dGB", kb>>20)
	case kb >= 1<<10:
		return fmt.Sprintf("%dMB", kb>>10)
	}
	return fmt.Sprintf("%dKB", kb)
}

// pressure is a *.pressure file; nil where the kernel counts none (psi=0).
func (r *reader) pressure(name string) *stats.PSIStats { return parsePSI(r.text(name)) }
