// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/containerd/containerd/api/events"
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
		oom := false
		for exited := false; !exited; {
			select {
			case e := <-envelopes:
				event, err := typeurl.UnmarshalAny(e.Event)
				h.must(err)
				switch e := event.(type) {
				case *events.TaskOOM:
					oom = oom || e.ContainerID == c.ID()
				case *events.TaskExit:
					exited = e.ContainerID == c.ID()
				}
			case <-time.After(testenv.Patience(5 * time.Second)):
				t.Fatal("no exit")
			}
		}
		if !oom {
			t.Errorf("%d: no OOM before the exit", i)
		}
	}
	h.gone("mini-oom.scope", "/minitest.slice/minitest-a.slice/mini-oom.scope")
}
