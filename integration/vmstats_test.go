// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestVMStats: every part of the metrics is there, and has what was used.
func TestVMStats(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu", "pids", "io", "hugetlb"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		dir, device := h.diskDir()
		c := h.start(bind(dir, "/data", "rw"), resources(`{"memory":{"limit":67108864,"swap":100663296},"cpu":{"quota":20000,"period":100000},"pids":{"limit":42}}`),
			sh("dd if=/dev/zero of=/data/x bs=64k count=32 conv=fsync; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready; read x"))
		c.expect("ready")
		m := c.metrics()
		for _, x := range []struct {
			what      string
			got, want uint64
		}{
			{"pids.current", m.Pids.GetCurrent(), 1},
			{"pids.limit", m.Pids.GetLimit(), 42},
			{"memory.usage_limit", m.Memory.GetUsageLimit(), 67108864},
			{"memory.swap_limit", m.Memory.GetSwapLimit(), 33554432},
		} {
			if x.got != x.want {
				t.Errorf("%s: %d, want %d", x.what, x.got, x.want)
			}
		}
		written := uint64(0)
		for _, e := range m.Io.GetUsage() {
			if e.Major == uint64(unix.Major(device)) && e.Minor == uint64(unix.Minor(device)) {
				written = e.Wbytes
			}
		}
		for what, got := range map[string]uint64{
			"cpu.usage": m.CPU.GetUsageUsec(), "cpu.user": m.CPU.GetUserUsec(), "cpu.system": m.CPU.GetSystemUsec(),
			"cpu.periods": m.CPU.GetNrPeriods(), "cpu.throttled": m.CPU.GetNrThrottled(), "cpu.throttled_usec": m.CPU.GetThrottledUsec(),
			"memory.usage": m.Memory.GetUsage(), "memory.anon": m.Memory.GetAnon(), "memory.file": m.Memory.GetFile(),
			"memory.slab": m.Memory.GetSlab(), "memory.pgfault": m.Memory.GetPgfault(),
			"memory.max_usage": m.Memory.GetMaxUsage(), "io.wbytes": written / (2 << 20), "hugetlb sizes": uint64(len(m.Hugetlb)),
		} {
			if got == 0 && (h.mini() || what != "memory.max_usage") {
				t.Errorf("%s is 0 in %v", what, m)
			}
		}
		for what, missing := range map[string]bool{"cpu": m.CPU.GetPSI() == nil, "memory": m.Memory.GetPSI() == nil, "io": m.Io.GetPSI() == nil} {
			if missing {
				t.Errorf("no pressure of %s", what)
			}
		}
		if m.MemoryEvents == nil {
			t.Error("no memory events")
		}
		if h.mini() {
			h.equal("main figures", fmt.Sprint(m.Memory.GetUsage() <= m.Memory.GetMaxUsage()), "true")
		}
		c.kill()
	})
}
