// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"

	events "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// ends has "oom CONTAINER" and "exit PROCESS" of all tasks, in the order in
// which they came.
func (h *harness) ends() <-chan string {
	h.Helper()
	ctx, cancel := context.WithCancel(bed.Context(context.Background()))
	envelopes, errs := h.d.Client.Subscribe(ctx, `topic~="^/tasks/(oom|exit)"`)
	lines := make(chan string, 1000)
	done := make(chan struct{})
	h.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for {
			select {
			case e := <-envelopes:
				event, _ := typeurl.UnmarshalAny(e.Event)
				switch e := event.(type) {
				case *events.TaskOOM:
					lines <- "oom " + e.ContainerID
				case *events.TaskExit:
					lines <- "exit " + e.ID
				}
			case <-errs:
				return
			}
		}
	}()
	// The subscription is made by the time that an event comes through it.
	h.eventually(func() error {
		_ = h.d.Client.EventService().Publish(ctx, "/tasks/oom", &events.TaskOOM{ContainerID: "probe"})
		if len(lines) == 0 {
			return fmt.Errorf("no subscription")
		}
		return nil
	})
	return lines
}

// labelled reads up to the exit of the process, and fails the test unless an
// OOM of the container came before.
func (h *harness) labelled(ends <-chan string, container, process string) {
	h.Helper()
	var seen []string
	for {
		select {
		case line := <-ends:
			if line == "exit "+process {
				if !slices.Contains(seen, "oom "+container) {
					h.Errorf("%s: no OOM before its exit: %v", process, seen)
				}
				return
			}
			seen = append(seen, line)
		case <-h.ctx.Done():
			h.Fatalf("%s: no exit; %v", process, seen)
		}
	}
}

const oomLimit = `{"memory":{"limit":8388608}}`

// TestVMOOM is 20 OOM kills in a row, 80 where all is to be tested, of execs and of
// init processes that die as soon as they run: each is announced before the exit it
// caused.
func TestVMOOM(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory"))
	inits, execs := 5, 15
	if testenv.Full() {
		inits, execs = 20, 60
	}
	miniOnly(t, func(t *testing.T, h *harness) {
		ends := h.ends()
		for range inits {
			c := h.start(resources(oomLimit), oci.WithProcessArgs("tail", "/dev/zero"))
			if code := c.wait(); code != 137 {
				t.Errorf("init: exit code %d", code)
			}
			h.labelled(ends, c.ID(), c.ID())
			c.delete()
			h.renew()
		}
		c := h.start(resources(oomLimit), oci.WithProcessArgs("sleep", "1000")) // a shell could not fork now and then
		for range execs {
			e := c.exec(oci.WithProcessArgs("tail", "/dev/zero"))
			h.must(e.Start(h.ctx))
			if code := e.wait(); code != 137 {
				t.Errorf("exec: exit code %d", code)
			}
			h.labelled(ends, c.ID(), e.ID())
			_, err := e.Delete(h.ctx)
			h.must(err)
		}
		h.equal("the container", string(c.status()), string(client.Running))
		if n := c.metrics().MemoryEvents.GetOomKill(); n != uint64(execs) {
			t.Errorf("%d OOM kills counted, want %d", n, execs)
		}
		c.kill()
	})
}

// TestVMOOMOfTheGroup: with memory.oom.group all go at once, told once before the
// exit.
func TestVMOOMOfTheGroup(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory"))
	each(t, func(t *testing.T, h *harness) {
		ends := h.ends()
		c := h.start(resources(`{"memory":{"limit":16777216},"unified":{"memory.oom.group":"1"}}`),
			sh("echo ready; read x; tail /dev/zero & sleep 1000"))
		c.expect("ready")
		c.types("\n")
		if code := c.wait(); code != 137 {
			t.Errorf("exit code %d", code)
		}
		if h.mini() { // runc's shim may tell of the exit first
			h.labelled(ends, c.ID(), c.ID())
		}
		c.delete()
	})
}

// TestVMOOMOfANestedGroup: a kill by a limit that the container has set itself, in a
// cgroup of its own, is told while it runs on.
func TestVMOOMOfANestedGroup(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		ends := h.ends()
		c := h.start(ownCgroups(), sh(`cd /sys/fs/cgroup && mkdir init x && echo 1 >init/cgroup.procs &&
			echo +memory >cgroup.subtree_control && echo 8388608 >x/memory.max &&
			sh -c 'echo 0 >x/cgroup.procs; exec tail /dev/zero'; echo "code $?"; read x`))
		c.expect("code 137")
		for told := ""; told != "oom "+c.ID(); {
			select {
			case told = <-ends:
			case <-h.ctx.Done():
				t.Fatal("not told")
			}
		}
		c.kill()
	})
}
