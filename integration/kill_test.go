// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/bed"
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

// faultPoints finds, in the source of the shim, every step at which it can be
// held, by the operation that its name begins with.
func faultPoints(t *testing.T) map[string][]string {
	t.Helper()
	point := regexp.MustCompile(`fault\.Point\("(([a-z]+)\.[a-z-]+)"\)`)
	points := map[string][]string{}
	for _, dir := range []string{"linux", "process"} {
		files, err := filepath.Glob("../" + dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range point.FindAllStringSubmatch(string(source), -1) {
				points[m[2]] = append(points[m[2]], m[1])
			}
		}
	}
	return points
}

// TestKillAtEachStep kills the shim, the child and containerd at each step of
// create, start, exec and delete, and looks for what is left.
func TestKillAtEachStep(t *testing.T) {
	testenv.Root(t)
	points := faultPoints(t)
	for _, operation := range []string{"create", "start", "exec", "delete"} {
		if len(points[operation]) == 0 {
			t.Errorf("no fault point in %s", operation)
		}
		for _, point := range points[operation] {
			for _, victim := range []string{"shim", "child", "containerd"} {
				t.Run(point+"/"+victim, func(t *testing.T) {
					miniAlone(t, func(t *testing.T, h *harness, faults string) {
						killAt(h, operation, faults, point, victim)
					})
				})
			}
		}
	}
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

// killTimeout bounds a call whose shim was killed. containerd notices within
// milliseconds.
const killTimeout = 20 * time.Second

// killAt holds the operation at the point, kills the victim, lets go, and
// deletes what there is.
func killAt(h *harness, operation, faults, point, victim string) {
	h.Helper()
	file := filepath.Join(faults, point)
	c := h.container(forever())
	var cancel context.CancelFunc
	h.ctx, cancel = context.WithTimeout(h.ctx, killTimeout)
	defer cancel()
	arm := func() { h.must(os.WriteFile(file, nil, 0o600)) }
	if operation == "create" {
		arm()
	}
	done := make(chan error, 1)
	var task client.Task
	go func() {
		var err error
		if task, err = c.NewTask(h.ctx, cio.NullIO); err == nil {
			err = operate(h, operation, task, arm)
		}
		done <- err
	}()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(file + ".held"); err == nil {
			break
		}
		select {
		case err := <-done:
			h.Fatalf("%s was not held at %s: %v", operation, point, err)
		default:
		}
		if time.Now().After(end) {
			h.Fatalf("%s did not come to %s", operation, point)
		}
	}
	switch victim {
	case "containerd":
		h.must(h.d.Kill())
	case "shim":
		h.must(syscall.Kill(h.daemonShim(), syscall.SIGKILL))
	case "child":
		for _, pid := range h.children(h.daemonShim()) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // at some steps there is none, or it is dead
		}
	}
	h.must(os.Remove(file))
	<-done // with an error or without
	if victim == "containerd" {
		h.must(h.d.Restart(h.ctx))
	}
}

// operate does what is to be held, up to the operation of the name.
func operate(h *harness, operation string, task client.Task, arm func()) error {
	if operation == "start" {
		arm()
	}
	exit, err := task.Wait(h.ctx)
	if err != nil {
		return err
	}
	if err := task.Start(h.ctx); err != nil {
		return err
	}
	switch operation {
	case "exec":
		s, err := task.Spec(h.ctx)
		if err != nil {
			return err
		}
		arm()
		p, err := task.Exec(h.ctx, "held", s.Process, cio.NullIO)
		if err != nil {
			return err
		}
		return p.Start(h.ctx)
	case "delete":
		if err := task.Kill(h.ctx, syscall.SIGKILL); err != nil {
			return err
		}
		<-exit
		arm()
		_, err := task.Delete(h.ctx)
		return err
	}
	return nil
}

// daemonShim is the pid of the one shim daemon that runs.
func (h *harness) daemonShim() int {
	h.Helper()
	all, err := bed.Processes()
	h.must(err)
	for _, p := range all {
		if p.Parent == 1 && p.Pid != h.d.Pid() && p.Pid != os.Getpid() && p.Pid != daemon.Pid() {
			return p.Pid
		}
	}
	h.Fatalf("no shim among %v", all)
	return 0
}

// children are the processes that a process has started.
func (h *harness) children(pid int) []int {
	h.Helper()
	all, err := bed.Processes()
	h.must(err)
	var pids []int
	for _, p := range all {
		if p.Parent == pid {
			pids = append(pids, p.Pid)
		}
	}
	return pids
}
