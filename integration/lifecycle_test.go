// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestRun(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out, errs, code := h.run(sh("echo out; echo err >&2; exit 3"))
		h.equal("stdout", out, "out\n")
		h.equal("stderr", errs, "err\n")
		if code != 3 {
			t.Errorf("exit code %d, want 3", code)
		}
	})
}

func TestExitCodes(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for script, want := range map[string]uint32{
			"exit 0": 0, "exit 1": 1, "exit 255": 255,
			"kill -KILL $$":                  0, // a signal of pid 1 to itself is ignored
			"sh -c 'kill -TERM $$'; exit $?": 143,
		} {
			if _, _, got := h.run(sh(script)); got != want {
				t.Errorf("%s: exit code %d, want %d", script, got, want)
			}
		}
		c := h.start(forever())
		c.expect("ready")
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		if got := c.wait(); got != 137 {
			t.Errorf("SIGKILL: exit code %d, want 137", got)
		}
		c.delete()
	})
}

func TestCreatedDoesNotRunYet(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.create(sh("echo ran"))
		if got := c.status(); got != client.Created {
			t.Errorf("status %s, want created", got)
		}
		if c.Pid() == 0 {
			t.Fatal("no pid")
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", c.Pid())); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Millisecond)
		h.equal("stdout before start", c.out.String(), "")
		h.must(c.Start(h.ctx))
		c.wait()
		c.delete()
		h.equal("stdout", c.out.String(), "ran\n")
	})
}

// TestLaterChangesDoNotCount: of the bundle's config.json only what Create has read
// counts, to the end.
func TestLaterChangesDoNotCount(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		marker := filepath.Join(t.TempDir(), "marker")
		task := h.create(forever())
		config := filepath.Join(h.d.StateDir(), task.ID(), "config.json")
		text, err := os.ReadFile(config)
		h.must(err)
		var s specs.Spec
		h.must(json.Unmarshal(text, &s))
		s.Process.Args = []string{"sh", "-c", "echo changed"}
		s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/usr/bin/touch", Args: []string{"touch", marker}}}}
		text, err = json.Marshal(&s)
		h.must(err)
		h.must(os.WriteFile(config, text, 0o600))
		h.must(task.Start(h.ctx))
		task.expect("ready")
		task.kill()
		if _, err := os.Stat(marker); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a later hook has run: %v", err)
		}
	})
}

func TestStates(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.create(forever())
		h.equal("created", string(c.status()), string(client.Created))
		h.must(c.Start(h.ctx))
		c.expect("ready")
		h.equal("started", string(c.status()), string(client.Running))
		h.must(c.Pause(h.ctx))
		h.equal("paused", string(c.status()), string(client.Paused))
		h.must(c.Resume(h.ctx))
		h.equal("resumed", string(c.status()), string(client.Running))
		h.must(c.Kill(h.ctx, syscall.SIGTERM))
		if code := c.wait(); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		s, err := c.Status(h.ctx)
		h.must(err)
		if s.Status != client.Stopped || s.ExitStatus != 0 || time.Since(s.ExitTime) > time.Minute {
			t.Errorf("after its end: %+v", s)
		}
		c.delete()
		if _, err := c.Status(h.ctx); !errdefs.IsNotFound(err) {
			t.Errorf("status after delete: %v, want not found", err)
		}
	})
}

// taskCall is a call of the task service that the client would refuse itself.
type taskCall struct {
	name string
	call func(h *harness, id string) error
}

var (
	callStart = taskCall{"start", func(h *harness, id string) error {
		_, err := h.d.Client.TaskService().Start(h.ctx, &tasks.StartRequest{ContainerID: id})
		return errgrpc.ToNative(err)
	}}
	callDelete = taskCall{"delete", func(h *harness, id string) error {
		_, err := h.d.Client.TaskService().Delete(h.ctx, &tasks.DeleteTaskRequest{ContainerID: id})
		return errgrpc.ToNative(err)
	}}
	callPause = taskCall{"pause", func(h *harness, id string) error {
		_, err := h.d.Client.TaskService().Pause(h.ctx, &tasks.PauseTaskRequest{ContainerID: id})
		return errgrpc.ToNative(err)
	}}
	callResume = taskCall{"resume", func(h *harness, id string) error {
		_, err := h.d.Client.TaskService().Resume(h.ctx, &tasks.ResumeTaskRequest{ContainerID: id})
		return errgrpc.ToNative(err)
	}}
	callKill = taskCall{"kill", func(h *harness, id string) error {
		_, err := h.d.Client.TaskService().Kill(h.ctx, &tasks.KillRequest{ContainerID: id, Signal: 15})
		return errgrpc.ToNative(err)
	}}
)

// TestIllegalCalls makes each call in each state it is not for. runc's shim
// answers most of them with a code of no meaning, so only that it refuses is
// common to both.
func TestIllegalCalls(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		refused := func(c *task, state string, calls ...taskCall) {
			t.Helper()
			for _, call := range calls {
				err := call.call(h, c.ID())
				if err == nil {
					t.Errorf("%s of a %s task is not refused", call.name, state)
				} else if h.mini() && !errdefs.IsFailedPrecondition(err) && !errdefs.IsNotFound(err) {
					t.Errorf("%s of a %s task: %v; want failed precondition or not found", call.name, state, err)
				}
			}
		}
		c := h.create(forever())
		refused(c, "created", callResume)
		h.must(c.Start(h.ctx))
		refused(c, "running", callStart, callDelete, callResume)
		h.must(c.Pause(h.ctx))
		refused(c, "paused", callStart, callDelete)
		h.must(c.Resume(h.ctx))
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		c.wait()
		refused(c, "stopped", callStart, callPause, callResume, callKill)
		c.delete()
		for _, call := range []taskCall{callStart, callDelete, callPause, callResume, callKill} {
			if err := call.call(h, c.ID()); !errdefs.IsNotFound(err) {
				t.Errorf("%s of no task: %v, want not found", call.name, err)
			}
		}
	})
}

func TestDeleteOfACreatedTask(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.create(sh("echo ran"))
		_, err := c.Delete(h.ctx, client.WithProcessKill)
		h.must(err)
		h.equal("stdout", c.out.String(), "")
	})
}

func TestKillOfACreatedTask(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.create(sh("echo ran"))
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		if code := c.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		c.delete()
	})
}

func TestEveryWaiterHearsTheExit(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(sh("read x; exit 9"))
		var exits []<-chan client.ExitStatus
		for range 10 {
			exit, err := c.Wait(h.ctx)
			h.must(err)
			exits = append(exits, exit)
		}
		_, err := c.stdin.Write([]byte("go\n"))
		h.must(err)
		c.wait()
		late, err := c.Wait(h.ctx)
		h.must(err)
		for _, exit := range append(exits, late) {
			if code, _, err := (<-exit).Result(); err != nil || code != 9 {
				t.Errorf("exit code %d, %v; want 9", code, err)
			}
		}
	})
}

func TestPauseStopsTheProcesses(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(sh("while :; do echo tick; sleep 0.01; done"))
		c.expect("tick")
		h.must(c.Pause(h.ctx))
		time.Sleep(50 * time.Millisecond) // what was in the pipes
		before := len(c.out.String())
		time.Sleep(100 * time.Millisecond)
		if after := len(c.out.String()); after != before {
			t.Errorf("it printed %d bytes while paused", after-before)
		}
		h.must(c.Resume(h.ctx))
		h.eventually(func() error {
			if len(c.out.String()) == before {
				return fmt.Errorf("nothing printed after resume")
			}
			return nil
		})
		c.kill()
	})
}

func TestKillOfAPausedTask(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		h.must(c.Pause(h.ctx))
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		if code := c.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		c.delete()
	})
}

func TestPids(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(sh("sleep 1000 & echo ready; wait"))
		c.expect("ready")
		h.eventually(func() error {
			pids, err := c.Pids(h.ctx)
			h.must(err)
			if len(pids) != 2 {
				return fmt.Errorf("%d pids: %v", len(pids), pids)
			}
			for _, p := range pids {
				if p.Pid == c.Pid() {
					return nil
				}
			}
			return fmt.Errorf("no init %d among %v", c.Pid(), pids)
		})
		c.kill()
	})
}

// TestKillAll kills every process of a container that shares the host's pid
// namespace, so that init's end does not end the others.
func TestKillAll(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(hostNamespace("pid"), sh("sleep 1000 & echo ready; wait"))
		c.expect("ready")
		h.must(c.Kill(h.ctx, syscall.SIGKILL, client.WithKillAll))
		if code := c.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		c.delete()
	})
}

// TestEndOfInitEndsTheRest: without a private pid namespace the kernel does
// not end the other processes with init; the shim does.
func TestEndOfInitEndsTheRest(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		begin := time.Now()
		c := h.start(hostNamespace("pid"), sh("sleep 1000 & exit 5"))
		if code := c.wait(); code != 5 {
			t.Errorf("exit code %d, want 5", code)
		}
		c.delete()
		// runc's shim waits for 10 s until it gives up on the pipe that the
		// other process held.
		if took := time.Since(begin); h.mini() && took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestNobodyOutlivesInitsExit: when init's exit is told, all the others are dead,
// not only about to die. runc's shim does not wait for them.
func TestNobodyOutlivesInitsExit(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		c := h.start(hostNamespace("pid"), sh("for i in $(seq 60); do sleep 7654322 & done; echo ready; wait"))
		c.expect("ready")
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		if code := c.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		if n := running(t, "sleep 7654322"); n > 0 {
			t.Errorf("%d processes live on", n)
		}
		c.delete()
	})
}

// TestCtrRun is the container that everybody runs first.
func TestCtrRun(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		args := append(h.ctrRun(), "--rm", imageName, h.newID(), "sh", "-c", "echo from ctr; exit 7")
		out, err := h.d.Ctr(h.ctx, args...)
		if err == nil || !strings.Contains(err.Error(), "exit status 7") {
			t.Errorf("%v; want exit status 7", err)
		}
		h.equal("output", out, "from ctr\n")
	})
}
