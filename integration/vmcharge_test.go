// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/testenv"
)

// memoryOf is how much memory a cgroup is charged for.
func (h *harness) memoryOf(group string) int64 {
	h.Helper()
	data, err := os.ReadFile("/sys/fs/cgroup" + group + "/memory.current")
	h.must(err)
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	h.must(err)
	return n
}

// TestVMOutputIsNotCharged: however a container's output goes, the cgroup of its
// shim is not charged for it; pages of a log file are the container's. runc's shim
// copies output, and its cgroup has the log's pages.
func TestVMOutputIsNotCharged(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory"))
	const (
		megabytes = 12
		shims     = "/bed/shims-of-output"
		slack     = 4 << 20 // of the shim, for answering and copying
	)
	miniOnly(t, func(t *testing.T, h *harness) {
		h.must(os.MkdirAll("/sys/fs/cgroup"+shims, 0o755))
		t.Cleanup(func() {
			h.eventually(func() error { return os.Remove("/sys/fs/cgroup" + shims) })
		})
		h.options = &runcoptions.Options{ShimCgroup: shims}
		gate := t.TempDir()
		log := filepath.Join(gate, "log")
		script := oci.Compose(bind(gate, "/gate", "rw"), sh("stty -opost 2>/dev/null; until [ -e /gate/go ]; do sleep 0.05; done; head -c "+strconv.Itoa(megabytes)+"m /dev/zero; touch /gate/written; sleep 1000"))
		for _, kind := range []string{"fifo", "terminal", "file"} {
			var c *task
			switch kind {
			case "fifo":
				c = h.start(script)
			case "terminal":
				c = h.startTerminal(script)
			case "file":
				c = &task{h: h, c: h.container(script)}
				var err error
				c.Task, err = c.c.NewTask(h.ctx, cio.LogFile(log))
				h.must(err)
				h.must(c.Start(h.ctx))
			}
			group := h.cgroupOf(c.Pid())
			shim, own := h.memoryOf(shims), h.memoryOf(group)
			h.must(os.WriteFile(filepath.Join(gate, "go"), nil, 0o600))
			h.eventually(func() error { _, err := os.Stat(filepath.Join(gate, "written")); return err })
			if now := h.memoryOf(shims); now > shim+slack {
				t.Errorf("%s: the shim's cgroup had %d and has %d", kind, shim, now)
			}
			if now := h.memoryOf(group); kind == "file" && now < own+megabytes<<20*9/10 {
				t.Errorf("%s: the container's cgroup had %d and has %d", kind, own, now)
			}
			_, err := c.Delete(h.ctx, client.WithProcessKill)
			h.must(err)
			h.must(c.c.Delete(h.ctx, client.WithSnapshotCleanup))
			h.must(os.Remove(filepath.Join(gate, "go")))
			h.must(os.Remove(filepath.Join(gate, "written")))
			h.renew()
		}
	})
}
