// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestShimIsKilled: containerd finds out, the container dies, and all that it
// had is removed.
func TestShimIsKilled(t *testing.T) {
	eachAlone(t, func(t *testing.T, h *harness, _ string) {
		for name, opts := range map[string][]oci.SpecOpts{
			"private pid namespace": {sh("sleep 7654321 & echo ready; wait")},
			"host's pid namespace":  {hostNamespace("pid"), sh("sleep 7654321 & echo ready; wait")},
		} {
			c := h.start(opts...)
			c.expect("ready")
			h.must(syscall.Kill(c.shim(), syscall.SIGKILL))
			status := <-c.exit // the answer of the call that the shim did not live to give
			if status.Error() == nil && status.ExitCode() != 137 {
				t.Errorf("%s: exit code %d, want 137", name, status.ExitCode())
			}
			h.eventually(func() error {
				if n := running(t, "sleep 7654321"); n > 0 {
					return fmt.Errorf("%s: %d processes of the container live on", name, n)
				}
				return nil
			})
			_, _ = c.Delete(h.ctx) // containerd may have forgotten it already
			h.must(c.c.Delete(h.ctx, client.WithSnapshotCleanup))
			if left := h.leftovers(); len(left) > 0 {
				t.Errorf("%s: left behind: %q", name, left)
			}
		}
	})
}

// TestShimIsKilledAfterTheExit: the exit status that was recorded is told.
func TestShimIsKilledAfterTheExit(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, _ string) {
		c := h.start(sh("echo ready; read x; exit 23"))
		c.expect("ready")
		shim := c.shim()
		c.types("\n")
		if code := c.wait(); code != 23 {
			t.Errorf("exit code %d, want 23", code)
		}
		h.must(syscall.Kill(shim, syscall.SIGKILL))
		status, err := c.Delete(h.ctx)
		if err == nil && status.ExitCode() != 23 {
			t.Errorf("delete: exit code %d, want 23", status.ExitCode())
		}
	})
}

// TestShimAndContainerdAreKilled: after both died, containerd cleans up at its
// start.
func TestShimAndContainerdAreKilled(t *testing.T) {
	eachAlone(t, func(t *testing.T, h *harness, _ string) {
		c := h.start(sh("sleep 7654321 & echo ready; wait"))
		c.expect("ready")
		shim := c.shim()
		h.must(h.d.Kill())
		h.must(syscall.Kill(shim, syscall.SIGKILL))
		h.must(h.d.Restart(h.ctx))
		h.eventually(func() error {
			if n := running(t, "sleep 7654321"); n > 0 {
				return fmt.Errorf("%d processes of the container live on", n)
			}
			return nil
		})
	})
}

// miniAlone is eachAlone for mini alone.
func miniAlone(t *testing.T, test func(t *testing.T, h *harness, faults string)) {
	t.Helper()
	testenv.Root(t)
	for _, name := range runtimes() {
		if name == mini {
			alone(t, mini, test)
			return
		}
	}
	t.Skipf("%s is not in RUNTIMES", mini)
}
