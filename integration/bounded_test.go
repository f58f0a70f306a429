// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
)

// flood prints 64 MiB.
const flood = `dd if=/dev/zero bs=1M count=64 2>/dev/null | tr '\0' x`

// TestAttackFlood: a shim that serves others as well does not grow by what a hook, an
// exec or a container prints, nor by execs that fail and terminals that are resized
// over and over (CVE-2022-31030, CVE-2022-23471, CVE-2025-64329).
func TestAttackFlood(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		group := h.pod()
		anchor := h.start(group, forever())
		anchor.expect("ready")
		anchor.execs(sh("true")) // the first opens what all others share
		shim := anchor.shim()
		files := len(h.fds(shim))

		_, err := h.container(group, sh("echo"), hookScript("createRuntime", flood+"; "+flood+" >&2; exit 1")).NewTask(h.ctx, cio.NullIO)
		if err == nil || len(err.Error()) > 16<<10 {
			t.Errorf("a hook that prints much: %.100v", err)
		}
		exec := anchor.exec(sh(flood))
		h.must(exec.Start(h.ctx))
		if code := exec.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		_, err = exec.Delete(h.ctx)
		h.must(err)
		h.equal("bytes that an exec printed", fmt.Sprint(len(exec.out.String())), fmt.Sprint(64<<20))

		terminal := h.startTerminal(group, sh("stty size; sleep 1000000"))
		for i := range uint32(60) {
			failing := anchor.exec(oci.WithProcessArgs("/no/such"))
			if err := failing.Start(h.ctx); err == nil {
				t.Fatal("what is not there starts")
			}
			_, _ = failing.Delete(h.ctx) // it may be gone
			h.must(terminal.Resize(h.ctx, 80+i, 24))
		}
		terminal.kill()

		const most = 64 << 10 // kB; a shim that is busy may take soakPeak
		if peak := kilobytes(h, shim, "VmHWM:"); peak > most && os.Getenv("MINI_SHIM") != "race" {
			t.Errorf("it had %d kB", peak)
		}
		h.eventually(func() error {
			if now := h.fds(shim); len(now) > files+h.slack() {
				return fmt.Errorf("%d files before, now %v", files, now)
			}
			return nil
		})
		anchor.kill()
	})
}
