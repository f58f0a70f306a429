// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
)

// TestCheckpointWithoutCriu: it is said by name, the container goes on, and nothing
// is left. The tests with criu are those of the virtual machine.
func TestCheckpointWithoutCriu(t *testing.T) {
	if path, err := exec.LookPath("criu"); err == nil {
		t.Skipf("this machine has %s", path)
	}
	miniOnly(t, func(t *testing.T, h *harness) {
		c, dir := h.start(count()), h.images()
		c.expect("n3\n")
		refused := func(what string, err error) {
			t.Helper()
			if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "criu") {
				t.Errorf("%s: got %v", what, err)
			}
		}
		refused("checkpoint", c.checkpoint(dir, &options.CheckpointOptions{Exit: true}))
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the directory was made: %v", err)
		}
		if s := c.status(); s != client.Running {
			t.Errorf("%s after a checkpoint that was refused", s)
		}
		h.must(os.Mkdir(dir, 0o700))
		_, err := h.tryCreate(h.container(forever()), client.WithRestoreImagePath(dir))
		refused("restore", err)
		c.kill()
	})
}
