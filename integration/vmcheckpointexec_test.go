// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestVMCheckpointWithAnExec: an exec that runs is not in a checkpoint. A daemon that it
// has left is, unless it has a cgroup namespace of its own, which criu does not dump; the
// container goes on.
func TestVMCheckpointWithAnExec(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	for name, ns := range cgroupNamespaces {
		t.Run(name, func(t *testing.T) {
			eachIfFull(t, func(t *testing.T, h *harness) {
				c := h.start(count(), ns)
				c.expect("n3\n")
				e := c.exec(sh("sleep 7654325"))
				h.must(e.Start(h.ctx))
				h.must(c.checkpoint(h.images(), &options.CheckpointOptions{}))
				h.must(e.Kill(h.ctx, syscall.SIGKILL))
				e.wait()
				c.execs(sh("setsid sleep 7654325 </dev/null >/dev/null 2>&1 &"))
				dir := h.images()
				if h.mini() && name == "own" {
					err := c.checkpoint(h.images(), &options.CheckpointOptions{Exit: true})
					if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "has left has a cgroup namespace of its own") {
						t.Errorf("with a daemon: %v", err)
					}
					c.says("kill $(pidof sleep)") // those of count are as short as they can be
				}
				h.must(c.checkpoint(dir, &options.CheckpointOptions{Exit: true}))
				c.ended()
				r := h.restore(c.c, dir)
				r.goesOn(c)
				h.equal("an exec's cgroup", r.says("sed s,/mini-exec-.*,, /proc/self/cgroup"), r.says("cat /proc/1/cgroup"))
				r.kill()
			})
		})
	}
}
