// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/api/events"
	eventtypes "github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// TestOOM: of the kernel's kills in a scope, with and without memory.oom.group, each
// is told before the exit, though systemd removes the cgroup of a container as soon
// as it is empty. The file is as it was asked for.
func TestOOM(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(bed.Context(context.Background()))
	defer cancel()
	envelopes, _ := h.d.Client.Subscribe(ctx, `topic~="^/tasks/(oom|exit)"`)
	time.Sleep(100 * time.Millisecond)
	n := 6
	if testenv.Full() {
		n = 30
	}
	for i := range n {
		group := fmt.Sprint(i % 2)
		c, err := h.try(container{
			runtime: mini, path: "minitest-a.slice:mini:oom", args: []string{"tail", "/dev/zero"},
			resources: fmt.Sprintf(`{"memory":{"limit":8388608},"unified":{"memory.oom.group":"%s"}}`, group),
		})
		h.must(err)
		if code := c.wait(); code != 137 {
			t.Errorf("exit code %d", code)
		}
		if !h.toldOOM(envelopes, c.ID()) {
			t.Errorf("%d: no OOM before the exit", i)
		}
	}
	h.gone("mini-oom.scope", "/minitest.slice/minitest-a.slice/mini-oom.scope")
}

// TestOOMOfAChild: init ends by itself after a process of its was killed for want of
// memory, and the scope's cgroup is gone before the shim can look at it. The kernel's
// log tells. It tells as well that a kill in the scope beside it is not its own.
func TestOOMOfAChild(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(bed.Context(context.Background()))
	defer cancel()
	envelopes, _ := h.d.Client.Subscribe(ctx, `topic~="^/tasks/(oom|exit)"`)
	time.Sleep(100 * time.Millisecond)
	const waits, hog = "while ! [ -e /go ]; do sleep 0.05; done; ", "tail /dev/zero; "
	for what, c := range map[string]struct {
		script string
		oom    bool
	}{
		"own":   {waits + hog + "exit 3", true},
		"other": {waits + "exit 3", false},
	} {
		if !c.oom && !testenv.Full() {
			continue
		}
		const limit = `{"memory":{"limit":8388608}}`
		first := h.start(container{runtime: mini, path: "minitest-a.slice:mini:child", args: []string{"sh", "-c", c.script}, resources: limit})
		shim, root := first.shim(), fmt.Sprintf("/proc/%d/root", first.Pid())
		h.must(syscall.Kill(shim, syscall.SIGSTOP))
		logged := c.oom
		if !c.oom {
			h.start(container{runtime: mini, path: "minitest-a.slice:mini:beside", args: []string{"tail", "/dev/zero"}, resources: limit}).wait()
		}
		h.must(os.WriteFile(root+"/go", nil, 0o600))
		h.eventually(func() error {
			if _, err := os.Stat("/sys/fs/cgroup" + fmt.Sprintf(nobody, "child")); !os.IsNotExist(err) {
				return fmt.Errorf("%s: the cgroup: %w", what, err)
			}
			return nil
		})
		if out, err := exec.Command("dmesg").Output(); c.oom && err == nil {
			logged = strings.Contains(string(out), ",task_memcg="+fmt.Sprintf(nobody, "child")+",") // it leaves some out where there are many
		}
		h.must(syscall.Kill(shim, syscall.SIGCONT))
		if code := first.wait(); code != 3 {
			t.Errorf("%s: exit code %d", what, code)
		}
		if oom := h.toldOOM(envelopes, first.ID()); oom != logged {
			t.Errorf("%s: OOM told: %v, in the log: %v", what, oom, logged)
		}
	}
}

// toldOOM reports whether there is an OOM before the exit of the container's.
func (h *host) toldOOM(envelopes <-chan *eventtypes.Envelope, id string) (oom bool) {
	h.Helper()
	for {
		select {
		case e := <-envelopes:
			event, err := typeurl.UnmarshalAny(e.Event)
			h.must(err)
			switch e := event.(type) {
			case *events.TaskOOM:
				oom = oom || e.ContainerID == id
			case *events.TaskExit:
				if e.ContainerID == id {
					return oom
				}
			}
		case <-time.After(testenv.Patience(5 * time.Second)):
			h.Fatal("no exit")
		}
	}
}
