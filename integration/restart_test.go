// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// eachAlone is each with a containerd of the test's own, which it may kill,
// whose shims have the fault points and the directory that arms them.
func eachAlone(t *testing.T, test func(t *testing.T, h *harness, faults string)) {
	t.Helper()
	testenv.Root(t)
	for _, name := range runtimes() {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(name, "io.containerd."), ".v2"), func(t *testing.T) {
			alone(t, name, test)
		})
	}
}

// alone is eachAlone for one runtime.
func alone(t *testing.T, runtime string, test func(t *testing.T, h *harness, faults string)) {
	t.Helper()
	aloneWith(t, runtime, shimsDir("fault"), test)
}

// aloneWith is alone with the shims of a directory below the repository's root.
func aloneWith(t *testing.T, runtime, shims string, test func(t *testing.T, h *harness, faults string)) {
	t.Helper()
	root, err := bed.Root()
	if err != nil {
		t.Fatal(err)
	}
	faults := t.TempDir()
	c := config(root, shims)
	c.Env = append(c.Env, "MINI_FAULT_DIR="+faults)
	c.SocketDir = bed.DefaultSocketDir // as everywhere but in a bed
	test(t, newHarness(t, runtime, startAlone(t, c)), faults)
}

// startAlone starts a containerd for one test.
func startAlone(t *testing.T, c bed.Config) *bed.Daemon {
	t.Helper()
	d, err := bed.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("containerd's log:\n%s", tail(d.Log()))
		}
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	// The other containerd is no leftover of this one.
	d.Ignore(daemon)
	return d
}

// reload finds the task again after containerd has restarted.
func (t *task) reload() {
	t.h.Helper()
	var err error
	t.c, err = t.h.d.Client.LoadContainer(t.h.ctx, t.c.ID())
	t.h.must(err)
	t.Task, err = t.c.Task(t.h.ctx, cio.NewAttach(cio.WithStreams(nil, t.out, t.errs)))
	t.h.must(err)
	t.exit, err = t.Wait(t.h.ctx)
	t.h.must(err)
}

func TestContainerdRestarts(t *testing.T) {
	eachAlone(t, func(t *testing.T, h *harness, _ string) {
		for name, end := range map[string]func() error{"shutdown": h.d.Shutdown, "kill": h.d.Kill} {
			c := h.start(sh("trap 'exit 7' TERM; echo ready; i=0; while :; do echo tick $((i=i+1)); echo err >&2; sleep 0.01; done"))
			c.expect("ready")
			pid, shim := c.Pid(), c.shim()
			h.must(end())
			time.Sleep(300 * time.Millisecond) // it writes with nobody to read
			h.must(h.d.Restart(h.ctx))
			c.reload()
			h.equal(name, string(c.status()), string(client.Running))
			if c.Pid() != pid || c.shim() != shim {
				t.Errorf("%s: pid %d, shim %d; were %d, %d", name, c.Pid(), c.shim(), pid, shim)
			}
			before := len(c.out.String())
			h.eventually(func() error {
				if len(c.out.String()) == before {
					return os.ErrDeadlineExceeded
				}
				return nil
			})
			out, _, _ := c.execs(sh("echo exec"))
			h.equal(name, out, "exec\n")
			h.must(c.Kill(h.ctx, syscall.SIGTERM))
			if code := c.wait(); code != 7 {
				t.Errorf("%s: exit code %d, want 7", name, code)
			}
			c.delete()
		}
	})
}

// TestManyContainersOverARestart: all of them, in two shims, are found again.
func TestManyContainersOverARestart(t *testing.T) {
	eachAlone(t, func(t *testing.T, h *harness, _ string) {
		group := h.pod()
		var all []*task
		for i := range 6 {
			opts := []oci.SpecOpts{forever()}
			if i%2 == 0 {
				opts = append(opts, group)
			}
			all = append(all, h.start(opts...))
		}
		h.must(h.d.Shutdown())
		h.must(h.d.Restart(h.ctx))
		for _, c := range all {
			c.reload()
			h.equal("status", string(c.status()), string(client.Running))
			c.kill()
		}
	})
}

// TestContainerdIsUpgraded: a newer containerd finds the containers of an older
// one, and puts new ones with those of their group. Where CONTAINERD_DIR names no
// older one it is a restart.
func TestContainerdIsUpgraded(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, _ string) {
		group := h.pod()
		first, second := h.start(group, forever()), h.start(sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"))
		first.expect("ready")
		second.expect("ready")
		paused := h.start(forever())
		h.must(paused.Pause(h.ctx))
		h.must(h.d.Shutdown())
		root, err := bed.Root()
		h.must(err)
		h.must(h.d.Upgrade(h.ctx, filepath.Join(root, "bin/tools")))
		for _, c := range []*task{first, second, paused} {
			c.reload()
		}
		h.equal("paused", string(paused.status()), string(client.Paused))
		third := h.start(group, forever())
		if third.shim() != first.shim() {
			t.Error("a new container of the group is in another shim")
		}
		third.kill()
		out, _, _ := first.execs(sh("echo exec"))
		h.equal("exec", out, "exec\n")
		_, err = first.Metrics(h.ctx)
		h.must(err)
		first.kill()
		h.must(second.Kill(h.ctx, syscall.SIGTERM))
		if code := second.wait(); code != 7 {
			t.Errorf("exit code %d, want 7", code)
		}
		second.delete()
		h.must(paused.Resume(h.ctx))
		paused.kill()
	})
}

// TestLogFifo: what a shim logs after containerd was restarted is in its log.
func TestLogFifo(t *testing.T) {
	eachAlone(t, func(t *testing.T, h *harness, _ string) {
		c := h.start(forever())
		c.expect("ready")
		h.must(h.d.Kill())
		h.must(h.d.Restart(h.ctx))
		c.reload()
		f, err := os.OpenFile(filepath.Join(h.d.StateDir(), c.ID(), "log"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		h.must(err)
		_, err = f.WriteString("a line for the log\n")
		h.must(err)
		h.must(f.Close())
		h.eventually(func() error {
			if !slices.Contains(strings.Split(h.d.Log(), "\n"), "a line for the log") {
				return os.ErrNotExist
			}
			return nil
		})
		c.kill()
	})
}
