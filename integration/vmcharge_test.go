// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
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

// shimsIn puts the shims of what follows into a cgroup of their own.
func (h *harness) shimsIn(group string) string {
	h.Helper()
	h.must(os.MkdirAll("/sys/fs/cgroup"+group, 0o755))
	h.Cleanup(func() {
		h.eventually(func() error { return os.Remove("/sys/fs/cgroup" + group) })
	})
	h.options = &runcoptions.Options{ShimCgroup: group}
	return group
}

// TestVMShimIsNotCharged: what a container uses is its own, not its shim's.
func TestVMShimIsNotCharged(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		shims := h.shimsIn("/bed/shims")
		c := h.start(sh("echo ready; read x; head -c 40m /dev/zero >/dev/shm/x; head -c 10m /dev/zero >/tmp/x; echo written; read x"))
		c.expect("ready")
		shim := h.memoryOf(shims)
		c.types("\n")
		c.expect("written")
		const slack = 8 << 20 // of the shim: it has answered a call
		if now := h.memoryOf(shims); now > shim+slack {
			t.Errorf("the shim's cgroup had %d and has %d", shim, now)
		}
		// All that was written is there; what was there before may be gone.
		if now := h.memoryOf(h.cgroupOf(c.Pid())); now < 50<<20 {
			t.Errorf("the container's cgroup has %d, 50 MiB were written", now)
		}
		c.kill()
	})
}

// TestVMCopyUpIsCharged: the files that a tmpfs begins with (tmpcopyup) are the
// container's, not its shim's. That there is a process which copies does not need
// room in pids.max, and where memory.max has none for the files, nothing is left.
func TestVMCopyUpIsCharged(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "pids"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		const megabytes = 48
		shims := h.shimsIn("/bed/shims-of-copies")
		dir := t.TempDir()
		h.must(os.WriteFile(filepath.Join(dir, "big"), make([]byte, megabytes<<20), 0o644))
		volume := oci.Compose(bind(dir, "/data", "ro"), mount("tmpfs", "tmpfs", "/data", "tmpcopyup"), oci.WithProcessArgs("sleep", "1000"))
		pids := uint64(2) // runc has threads
		if h.mini() {
			pids = 1
		}
		c := h.create(volume, resources(fmt.Sprintf(`{"pids":{"limit":%d}}`, pids)))
		if now := h.memoryOf(shims); now > megabytes<<20/2 {
			t.Errorf("the shim's cgroup has %d", now)
		}
		group := h.cgroupOf(c.Pid())
		if now := h.memoryOf(group); now < megabytes<<20 {
			t.Errorf("the container's cgroup has %d, %d MiB were copied", now, megabytes)
		}
		h.must(c.Start(h.ctx))
		c.kill()
		h.renew()

		task, err := h.tryCreate(h.container(volume, resources(`{"memory":{"limit":16777216,"swap":16777216}}`)))
		if err == nil {
			task.kill()
			t.Fatal("48 MiB fit into 16")
		}
		if want := "mount tmpfs on /data: copy up: the process was killed"; h.mini() && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		left, err := filepath.Glob("/sys/fs/cgroup" + filepath.Dir(group) + "/*/")
		h.must(err)
		if len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// TestVMOutputIsNotCharged: the cgroup of a shim is not charged for what its container
// prints: pages in pipes are the container's. (Those of a log file are the shim's, who
// writes it, as with runc's.)
func TestVMOutputIsNotCharged(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory"))
	const (
		megabytes = 12
		slack     = 4 << 20 // of the shim, for answering and moving
	)
	miniOnly(t, func(t *testing.T, h *harness) {
		shims := h.shimsIn("/bed/shims-of-output")
		gate := t.TempDir()
		script := oci.Compose(bind(gate, "/gate", "rw"), sh("stty -opost 2>/dev/null; until [ -e /gate/go ]; do sleep 0.05; done; head -c "+strconv.Itoa(megabytes)+"m /dev/zero; touch /gate/written; sleep 1000"))
		for kind, start := range map[string]func(...oci.SpecOpts) *task{"fifo": h.start, "terminal": h.startTerminal} {
			c := start(script)
			shim := h.memoryOf(shims)
			h.must(os.WriteFile(filepath.Join(gate, "go"), nil, 0o600))
			h.eventually(func() error { _, err := os.Stat(filepath.Join(gate, "written")); return err })
			if now := h.memoryOf(shims); now > shim+slack {
				t.Errorf("%s: the shim's cgroup had %d and has %d", kind, shim, now)
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
