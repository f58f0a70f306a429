// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// shims counts the shims that run: daemons that nobody waits for.
func (h *harness) shims() int {
	h.Helper()
	all, err := bed.Processes()
	h.must(err)
	n := 0
	for _, p := range all {
		if p.Parent == 1 && p.Pid != os.Getpid() && p.State != 'Z' {
			n++
		}
	}
	return n
}

// TestGroup: containers with the same group annotation share a shim, which
// ends with the last of them.
func TestGroup(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, annotation := range []string{"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"} {
			group := oci.WithAnnotations(map[string]string{annotation: h.newID()})
			first, second, third := h.start(group, forever()), h.start(group, forever()), h.start(group, forever())
			other := h.start(forever())
			if a, b, c := first.shim(), second.shim(), third.shim(); a != b || b != c {
				t.Errorf("%s: shims %d, %d, %d", annotation, a, b, c)
			}
			if other.shim() == first.shim() {
				t.Errorf("%s: a container of no group is in the group's shim", annotation)
			}
			if n := h.shims(); n != 2 {
				t.Errorf("%s: %d shims, want 2", annotation, n)
			}
			other.kill()
			first.kill() // the group lives on without the one that it began with
			h.equal("second", string(second.status()), string(client.Running))
			out, _, _ := second.execs(sh("echo alive"))
			h.equal("exec", out, "alive\n")
			fourth := h.start(group, forever())
			if fourth.shim() != second.shim() {
				t.Errorf("%s: a late container is in another shim", annotation)
			}
			fourth.kill()
			second.kill()
			third.kill()
			if left := h.leftovers(); len(left) > 0 {
				t.Errorf("%s: left behind: %q", annotation, left)
			}
		}
	})
}

// TestGroupMembersAreApart: killing one leaves the other.
func TestGroupMembersAreApart(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		group := h.pod()
		first, second := h.start(group, forever()), h.start(group, forever())
		first.expect("ready")
		second.expect("ready")
		h.must(first.Kill(h.ctx, syscall.SIGKILL, client.WithKillAll))
		first.wait()
		h.must(second.Pause(h.ctx))
		h.must(second.Resume(h.ctx))
		h.equal("second", string(second.status()), string(client.Running))
		first.delete()
		second.kill()
	})
}

// TestParallelLives: many containers at once in one shim, from create to
// delete, while another answers.
func TestParallelLives(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		group := h.pod()
		first := h.start(group, forever())
		first.expect("ready")
		const many = 12
		var containers []client.Container
		for i := range many {
			containers = append(containers, h.container(group, sh(fmt.Sprintf("exit %d", i))))
		}
		errs := make(chan error, many)
		for i, c := range containers {
			go func() { errs <- live(h, c, uint32(i)) }()
		}
		var slowest time.Duration
		for range many {
			for done := false; !done; {
				select {
				case err := <-errs:
					if err != nil {
						t.Error(err)
					}
					done = true
				default:
					begin := time.Now()
					h.equal("status", string(first.status()), string(client.Running))
					_, err := first.Pids(h.ctx)
					h.must(err)
					slowest = max(slowest, time.Since(begin))
				}
			}
		}
		if slowest > testenv.Patience(time.Second) { // containerd waits for 2 s
			t.Errorf("State and Pids took %v", slowest)
		}
		first.kill()
	})
}

// live runs a container to its end.
func live(h *harness, c client.Container, code uint32) error {
	task, err := c.NewTask(h.ctx, cio.NullIO)
	if err != nil {
		return err
	}
	exit, err := task.Wait(h.ctx)
	if err != nil {
		return err
	}
	if err := task.Start(h.ctx); err != nil {
		return err
	}
	if status := <-exit; status.ExitCode() != code || status.Error() != nil {
		return fmt.Errorf("%s: exit code %d, %v; want %d", c.ID(), status.ExitCode(), status.Error(), code)
	}
	_, err = task.Delete(h.ctx)
	return err
}

// TestShimThreadsAndFiles: containers that came and went leave no file open in
// the shim of their group.
func TestShimOfAGroupKeepsNothing(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		group := h.pod()
		first := h.start(group, forever())
		first.expect("ready")
		shim := first.shim()
		h.must(live(h, h.container(group, sh("exit 0")), 0))
		before := len(h.fds(shim))
		for range 20 {
			h.must(live(h, h.container(group, sh("exit 0")), 0))
		}
		h.eventually(func() error {
			if after := h.fds(shim); len(after) > before+h.slack() {
				return fmt.Errorf("the shim had %d files open and has %d: %q", before, len(after), after)
			}
			return nil
		})
		all, err := bed.Processes()
		h.must(err)
		for _, p := range all {
			if p.Parent == shim && p.Pid != int(first.Pid()) {
				t.Errorf("child of the shim: %d %c %s", p.Pid, p.State, p.Args)
			}
		}
		first.kill()
	})
}
