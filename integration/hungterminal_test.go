// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
)

// TestHungTerminal: an exec with a terminal, in a container that has put a file system
// which does not answer in the place of its devpts, waits in the container. No thread of
// the shim does.
func TestHungTerminal(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		dir := h.TempDir()
		h.must(os.WriteFile(filepath.Join(dir, "ptmx"), nil, 0o666))
		fs := h.fuse(dir)
		defer fs.abort() // before the containers are removed
		c := h.start(mount("bind", fs.mount, "/dev/pts", "rbind"), forever())
		c.expect("ready")
		c.lives("at first") // which opens what all others share
		shim := c.shim()
		files := len(h.fds(shim))
		p := c.exec(sh("true"), oci.WithTTY)
		if err := p.Start(h.ctx); err == nil || !strings.Contains(err.Error(), "ptmx of the container is not a devpts device") {
			t.Errorf("a file that is no pty: %v", err)
		}
		_, err := p.Delete(h.ctx)
		h.must(err)
		fs.opens.Store(true)
		p = c.exec(sh("true"), oci.WithTTY)
		done := p.begin(h.ctx)
		h.eventually(func() error {
			pids, err := c.Pids(h.ctx)
			h.must(err)
			for _, one := range pids {
				if inFUSE(h, int(one.Pid)) > 0 {
					return nil
				}
			}
			return fmt.Errorf("no exec waits for the file system")
		})
		if n := inFUSE(h, shim); n > 0 {
			t.Errorf("%d threads of the shim wait for the container's file system", n)
		}
		h.must(p.Kill(h.ctx, syscall.SIGKILL))
		p.ended("killed exec", done, shim, files+4)
		c.lives("beside it")
		fs.abort()
		c.kill()
	})
}
