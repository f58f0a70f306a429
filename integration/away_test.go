// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestExitWhileContainerdIsAway: after containerd was killed and is back, State, Wait
// and Delete tell how each container and each exec ended meanwhile, in shims of their own
// and in one that they share, and what did not end is as it was.
//
// containerd 1.7 and later delete, while they start, each task that has no process.
// That is what they do to runc's shim here, so nothing is asked of it.
func TestExitWhileContainerdIsAway(t *testing.T) {
	eachAlone(t, func(t *testing.T, h *harness, _ string) {
		for _, kind := range []string{"alone", "group"} {
			h.renew()
			s := h.beginAbsence(kind == "group")
			h.must(h.d.Kill())
			s.end()
			h.must(h.d.Restart(h.ctx))
			if !h.mini() && !h.d.Release().Before(1, 7) {
				s.tolerate()
				continue
			}
			s.check(kind)
		}
	})
}

// absence is a set of containers of which some end while containerd is away.
type absence struct {
	*harness
	gate string // a file that ends those that are to end

	ended, endedBefore, killed, running, moved, paused, created *task

	execOfEnded, execOfRunning *execution
}

// beginAbsence starts the containers, each in a shim of its own or all in one.
func (h *harness) beginAbsence(group bool) *absence {
	h.Helper()
	dir := h.TempDir()
	opts := []oci.SpecOpts{bind(dir, "/home")}
	if group {
		opts = append(opts, h.pod())
	}
	start := func(script string) *task {
		c := h.start(append(opts[:len(opts):len(opts)], sh("echo ready; "+script))...)
		c.expect("ready")
		return c
	}
	until := func(code int) string {
		return fmt.Sprintf("while [ ! -e /home/gate ]; do sleep 0.02; done; exit %d", code)
	}
	const forEver = "while :; do sleep 0.05; done"

	s := &absence{harness: h, gate: filepath.Join(dir, "gate")}
	s.running, s.paused, s.killed, s.moved = start(forEver), start(forEver), start(forEver), start(forEver)
	s.ended, s.endedBefore = start(until(11)), start("exit 12")
	s.created = h.create(append(opts[:len(opts):len(opts)], sh("exit 13"))...)
	h.must(s.paused.Pause(h.ctx))
	if h.mini() { // else containerd leaves a process behind for good
		h.leaveCgroup(s.moved, s.running)
	}
	s.endedBefore.wait()

	s.execOfEnded, s.execOfRunning = s.ended.exec(sh("exit 21")), s.running.exec(sh(until(22)))
	h.must(s.execOfEnded.Start(h.ctx))
	s.execOfEnded.wait()
	h.must(s.execOfRunning.Start(h.ctx))
	return s
}

// leaveCgroup moves a container's init into another's cgroup: its own is empty.
func (h *harness) leaveCgroup(c, other *task) {
	h.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", other.Pid()))
	h.must(err)
	_, group, _ := strings.Cut("\n"+string(text), "\n0::")
	group, _, _ = strings.Cut(group, "\n")
	h.must(os.WriteFile(filepath.Join("/sys/fs/cgroup", group, "cgroup.procs"), []byte(strconv.Itoa(int(c.Pid()))), 0))
}

// end ends those that are to end. Precondition: containerd is not there.
func (s *absence) end() {
	s.Helper()
	s.must(syscall.Kill(int(s.killed.Pid()), syscall.SIGKILL))
	s.must(os.WriteFile(s.gate, nil, 0o600))
	for _, p := range []client.Process{s.ended, s.killed, s.execOfRunning} {
		s.gone(int(p.Pid()))
	}
}

// gone waits until a process has ended and its exit was taken.
func (h *harness) gone(pid int) {
	h.Helper()
	h.eventually(func() error {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
			return fmt.Errorf("process %d has not ended", pid)
		}
		return nil
	})
}

// check looks at each container, and at the execs, and deletes them.
func (s *absence) check(kind string) {
	s.Helper()
	for _, c := range []*task{s.ended, s.endedBefore, s.killed, s.running, s.moved, s.paused, s.created} {
		c.reload()
	}
	s.exec(kind, s.ended, s.execOfEnded.ID(), 21)
	s.exec(kind, s.running, s.execOfRunning.ID(), 22)
	s.stopped(kind+": ended", s.ended, 11)
	s.stopped(kind+": ended before", s.endedBefore, 12)
	s.stopped(kind+": killed", s.killed, 137)

	s.equal(kind, string(s.running.status()), string(client.Running))
	s.equal(kind, string(s.moved.status()), string(client.Running))
	s.moved.kill()
	s.equal(kind, string(s.paused.status()), string(client.Paused))
	s.equal(kind, string(s.created.status()), string(client.Created))
	s.must(s.created.Start(s.ctx))
	if code := s.created.wait(); code != 13 {
		s.Errorf("%s: created: exit code %d, want 13", kind, code)
	}
	s.created.delete()
	s.must(s.paused.Resume(s.ctx))
	s.paused.kill()
	s.running.kill()
}

// stopped checks a container that has ended with the code, and deletes it.
func (s *absence) stopped(what string, c *task, code uint32) {
	s.Helper()
	status, err := c.Status(s.ctx)
	s.must(err)
	if status.Status != client.Stopped || status.ExitStatus != code || status.ExitTime.IsZero() {
		s.Errorf("%s: status %+v, want stopped with %d", what, status, code)
	}
	if got := c.wait(); got != code {
		s.Errorf("%s: Wait returns %d, want %d", what, got, code)
	}
	// No process is left to list; the first list, which containerd asked for while it
	// started, may say otherwise.
	if pids, err := c.Pids(s.ctx); err != nil || len(pids) != 0 {
		s.Errorf("%s: pids %v, %v", what, pids, err)
	}
	exit, err := c.Delete(s.ctx)
	s.must(err)
	if exit.ExitCode() != code {
		s.Errorf("%s: Delete returns %d, want %d", what, exit.ExitCode(), code)
	}
	s.must(c.c.Delete(s.ctx, client.WithSnapshotCleanup))
}

// exec checks an exec that has ended with the code, and deletes it.
func (s *absence) exec(kind string, c *task, id string, code uint32) {
	s.Helper()
	p, err := c.LoadProcess(s.ctx, id, nil)
	s.must(err)
	status, err := p.Status(s.ctx)
	s.must(err)
	if status.Status != client.Stopped || status.ExitStatus != code {
		s.Errorf("%s: exec: status %+v, want stopped with %d", kind, status, code)
	}
	exit, err := p.Delete(s.ctx)
	s.must(err)
	if exit.ExitCode() != code {
		s.Errorf("%s: exec: Delete returns %d, want %d", kind, exit.ExitCode(), code)
	}
}

// tolerate checks of those that ended no more than that their codes are right where
// they are found.
func (s *absence) tolerate() {
	s.Helper()
	for c, code := range map[*task]uint32{s.ended: 11, s.endedBefore: 12, s.killed: 137} {
		container, err := s.d.Client.LoadContainer(s.ctx, c.c.ID())
		s.must(err)
		found, err := container.Task(s.ctx, nil)
		if errdefs.IsNotFound(err) {
			continue
		}
		s.must(err)
		exit, err := found.Delete(s.ctx)
		s.must(err)
		if exit.ExitCode() != code {
			s.Errorf("exit code %d, want %d", exit.ExitCode(), code)
		}
	}
}

// TestVMCheckpointWhileContainerdIsAway: a container of a checkpoint that was created and
// not started, which has no process, is still there when containerd is back.
func TestVMCheckpointWhileContainerdIsAway(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	miniAlone(t, func(t *testing.T, h *harness, _ string) {
		before, dir := h.start(count()), h.images()
		before.expect("n3\n")
		h.must(before.checkpoint(dir, &options.CheckpointOptions{Exit: true}))
		before.ended()
		now, err := h.tryCreate(before.c, client.WithRestoreImagePath(dir))
		h.must(err)
		h.must(h.d.Kill())
		h.must(h.d.Restart(h.ctx))
		now.reload()
		h.equal("status", string(now.status()), string(client.Created))
		h.must(now.Start(h.ctx))
		now.goesOn(before)
		now.kill()
	})
}
