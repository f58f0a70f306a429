// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	events "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"

	"github.com/containerd-mini/mini/integration/bed"
)

// recorder has every event of a container's task, in the order in which they
// came, as a line of text each.
type recorder struct {
	h  *harness
	id string

	mu    sync.Mutex
	lines []string // guarded by mu
}

// record begins to record; it ends with the test.
func (h *harness) record(id string) *recorder {
	h.Helper()
	r := &recorder{h: h, id: id}
	ctx, cancel := context.WithCancel(bed.Context(context.Background()))
	envelopes, errs := h.d.Client.Subscribe(ctx, `topic~="^/tasks/"`)
	done := make(chan struct{})
	h.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for {
			select {
			case e := <-envelopes:
				event, err := typeurl.UnmarshalAny(e.Event)
				if err != nil {
					r.add("? " + err.Error())
					continue
				}
				if line := r.line(event); line != "" {
					r.add(line)
				}
			case <-errs:
				return
			}
		}
	}()
	// The subscription is made by the time that an event comes through it.
	h.eventually(func() error {
		_ = h.d.Client.EventService().Publish(ctx, "/tasks/oom", &events.TaskOOM{ContainerID: id})
		if len(r.all()) == 0 {
			return fmt.Errorf("no subscription")
		}
		return nil
	})
	// Events come in their order: behind this one are none of ours.
	h.must(h.d.Client.EventService().Publish(ctx, "/tasks/resumed", &events.TaskResumed{ContainerID: id}))
	h.eventually(func() error {
		if lines := r.all(); !slices.Contains(lines, "resumed") {
			return fmt.Errorf("no last one of %q", lines)
		}
		return nil
	})
	r.mu.Lock()
	r.lines = nil
	r.mu.Unlock()
	return r
}

func (r *recorder) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines...)
}

// line is the text of an event, or nothing for another container's.
func (r *recorder) line(event any) string {
	name := func(id string) string {
		if id == r.id {
			return "init"
		}
		return id
	}
	var id, line string
	switch e := event.(type) {
	case *events.TaskCreate:
		id, line = e.ContainerID, "create"
	case *events.TaskStart:
		id, line = e.ContainerID, "start"
	case *events.TaskExit:
		id, line = e.ContainerID, fmt.Sprintf("exit %s %d", name(e.ID), e.ExitStatus)
	case *events.TaskDelete:
		id, line = e.ContainerID, fmt.Sprintf("delete %s %d", name(cmp.Or(e.ID, e.ContainerID)), e.ExitStatus)
	case *events.TaskExecAdded:
		id, line = e.ContainerID, "exec added "+e.ExecID
	case *events.TaskExecStarted:
		id, line = e.ContainerID, "exec started "+e.ExecID
	case *events.TaskPaused:
		id, line = e.ContainerID, "paused"
	case *events.TaskResumed:
		id, line = e.ContainerID, "resumed"
	case *events.TaskOOM:
		id, line = e.ContainerID, "oom"
	default:
		return fmt.Sprintf("? %T", event)
	}
	if id != r.id {
		return ""
	}
	return line
}

// expect waits for as many events as wanted, a little for more, and compares.
func (r *recorder) expect(want ...string) {
	r.h.Helper()
	for end := time.Now().Add(2 * time.Second); len(r.all()) < len(want) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	got := r.all()
	if last := len(want) - 1; !r.h.mini() && last >= 1 && strings.HasPrefix(want[last], "delete") && len(got) == last {
		// runc's shim may end before it has sent its last events.
		for i := last; i >= last-1; i-- {
			if rest := slices.Delete(slices.Clone(want), i, i+1); slices.Equal(got, rest) {
				want = rest
				break
			}
		}
	}
	r.h.equal("events", strings.Join(got, "\n"), strings.Join(want, "\n"))
}

func TestEventsOfALife(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.container(forever())
		r := h.record(c.ID())
		task, err := h.tryCreate(c)
		h.must(err)
		h.must(task.Start(h.ctx))
		task.expect("ready")
		h.must(task.Pause(h.ctx))
		h.must(task.Resume(h.ctx))
		p, err := task.tryExec("an-exec", sh("exit 4"))
		h.must(err)
		h.must(p.Start(h.ctx))
		p.wait()
		_, err = p.Delete(h.ctx)
		h.must(err)
		h.must(task.Kill(h.ctx, syscall.SIGTERM))
		task.wait()
		task.delete()
		r.expect("create", "start", "paused", "resumed", "exec added an-exec", "exec started an-exec", "exit an-exec 4", "exit init 0", "delete init 0")
	})
}

// TestEventsOfAShortLife: processes that end at once do so after their start.
func TestEventsOfAShortLife(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for range 10 {
			c := h.container(oci.WithProcessArgs("true"))
			r := h.record(c.ID())
			task, err := h.tryCreate(c)
			h.must(err)
			h.must(task.Start(h.ctx))
			task.wait()
			task.delete()
			r.expect("create", "start", "exit init 0", "delete init 0")
		}
	})
}

// TestInitsExitIsLast: the exec ends because init does, and its exit is told
// before init's; with a private pid namespace and without.
func TestInitsExitIsLast(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for name, opt := range map[string]oci.SpecOpts{"private": forever(), "host": oci.Compose(hostNamespace("pid"), forever())} {
			c := h.container(opt)
			r := h.record(c.ID())
			task, err := h.tryCreate(c)
			h.must(err)
			h.must(task.Start(h.ctx))
			task.expect("ready")
			p, err := task.tryExec(name, sh("sleep 1000"))
			h.must(err)
			h.must(p.Start(h.ctx))
			h.must(task.Kill(h.ctx, syscall.SIGKILL))
			task.wait()
			p.wait()
			_, err = p.Delete(h.ctx)
			h.must(err)
			task.delete()
			r.expect("create", "start", "exec added "+name, "exec started "+name, "exit "+name+" 137", "exit init 137", "delete init 137")
		}
	})
}

// TestNoEventsOfACreateThatFails: a missing command is no exit.
func TestNoEventsOfACreateThatFails(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.container(oci.WithProcessArgs("/no/such/command"))
		r := h.record(c.ID())
		if _, err := c.NewTask(h.ctx, cio.NullIO); err == nil {
			t.Error("it is created")
		}
		r.expect()
	})
}

func TestEventsOfAnExecThatCannotStart(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		r := h.record(c.ID())
		p, err := c.tryExec("bad", oci.WithProcessArgs("/no/such/command"))
		h.must(err)
		if err := p.Start(h.ctx); err == nil {
			t.Error("it starts")
		}
		_, _ = p.Delete(h.ctx)
		for _, line := range r.all() {
			if strings.HasPrefix(line, "exec started") || strings.HasPrefix(line, "exit init") {
				t.Errorf("event %q", line)
			}
		}
		c.kill()
	})
}
