// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
)

// heldLimit is what an answer may take on a machine that does other things, too:
// containerd gives State 2 s. Who is held stays so until the test lets go, or for 3 s.
const heldLimit = 2 * time.Second

// TestAnswersWhileAnotherIsHeld: a container of a pod that hangs in its making,
// exec or removal keeps nobody from asking about, or killing, the others.
func TestAnswersWhileAnotherIsHeld(t *testing.T) {
	for operation, point := range map[string]string{"create": "create.mounts-made", "exec": "exec.cloned", "delete": "delete.claimed"} {
		t.Run(point, func(t *testing.T) {
			miniAlone(t, func(t *testing.T, h *harness, faults string) {
				group := h.pod()
				first := h.start(group, forever())
				first.expect("ready")
				file := filepath.Join(faults, point)
				arm := func() { h.must(os.WriteFile(file, nil, 0o600)) }
				second := h.container(group, forever())
				done := make(chan error, 1)
				go func() {
					done <- steps[operation].run(h, second, arm)
				}()
				h.eventually(func() error {
					_, err := os.Stat(file + ".held")
					return err
				})
				quick := func(what string, f func() error) {
					begin := time.Now()
					h.must(f())
					if d := time.Since(begin); d > heldLimit {
						t.Errorf("%s took %v while another container was held at %s", what, d, point)
					}
				}
				quick("State", func() error { _, err := first.Status(h.ctx); return err })
				quick("Pids", func() error { _, err := first.Pids(h.ctx); return err })
				quick("Pause", func() error { return first.Pause(h.ctx) })
				quick("Resume", func() error { return first.Resume(h.ctx) })
				if operation != "exec" { // which would be held as well
					quick("Exec", func() error {
						out, _, _ := first.execs(sh("echo alive"))
						h.equal("exec", out, "alive\n")
						return nil
					})
				}
				quick("Kill", func() error { return first.Kill(h.ctx, syscall.SIGKILL, client.WithKillAll) })
				quick("Wait", func() error { first.wait(); return nil })
				h.must(os.Remove(file))
				h.must(<-done)
				first.delete()
			})
		})
	}
}
