// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/api/events"
	"google.golang.org/protobuf/proto"
)

// recorder is a Publisher that remembers what it was given.
type recorder struct {
	mu    sync.Mutex
	lines []string      // guarded by mu
	block chan struct{} // nil, or Publish waits for its end
}

func (r *recorder) Publish(ctx context.Context, topic string, event proto.Message) error {
	if r.block != nil {
		select {
		case <-r.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	who := "init"
	switch e := event.(type) {
	case *events.TaskExecAdded:
		who = e.ExecID
	case *events.TaskExecStarted:
		who = e.ExecID
	case *events.TaskExit:
		who = e.ID
	}
	r.lines = append(r.lines, who+" "+strings.TrimPrefix(topic, "/tasks/"))
	return nil
}

// published ends the outbox and returns what came out of it.
func (r *recorder) published(t *testing.T, o *outbox) []string {
	t.Helper()
	if err := o.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines
}

func TestRequestsDoNotWaitForContainerd(t *testing.T) {
	rec := &recorder{block: make(chan struct{})}
	o := newOutbox(rec)
	done := make(chan struct{})
	go func() {
		for range 1000 {
			o.put("/tasks/exit", &events.TaskExit{})
		}
		close(done)
	}()
	<-done
	close(rec.block)
	if got := rec.published(t, o); len(got) != 1000 {
		t.Errorf("%d events of 1000", len(got))
	}
}

// While containerd is away, OOM kills in a row are one event, and what only informs
// is bounded; no exit is lost.
func TestOutboxIsBounded(t *testing.T) {
	rec := &recorder{block: make(chan struct{})}
	o := newOutbox(rec)
	o.put("/tasks/create", &events.TaskCreate{ContainerID: "a"}) // is being published
	for {
		o.mu.Lock()
		taken := o.taken
		o.mu.Unlock()
		if taken == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for range 1000 {
		o.put("/tasks/oom", &events.TaskOOM{ContainerID: "a"})
		o.put("/tasks/oom", &events.TaskOOM{ContainerID: "b"})
	}
	o.put("/tasks/exit", &events.TaskExit{ContainerID: "a", ID: "x"})
	o.put("/tasks/oom", &events.TaskOOM{ContainerID: "a"}) // another one than before the exit
	for range 2 * maxQueued {
		o.put("/tasks/exec-added", &events.TaskExecAdded{ContainerID: "a", ExecID: "e"})
	}
	const exits = 100
	for range exits {
		o.put("/tasks/exit", &events.TaskExit{ContainerID: "a", ID: "e"})
	}
	close(rec.block)
	count := map[string]int{}
	for _, line := range rec.published(t, o) {
		count[line]++
	}
	if count["init oom"] != 3 || count["x exit"] != 1 || count["e exit"] != exits {
		t.Errorf(
			"%d OOMs, want 3; %d and %d exits, want 1 and %d",
			count["init oom"],
			count["x exit"],
			count["e exit"],
			exits,
		)
	}
	if want := maxQueued - 5; count["e exec-added"] != want {
		t.Errorf("%d additions of execs, want %d", count["e exec-added"], want)
	}
}

func TestCloseGivesUpOnContainerd(t *testing.T) {
	rec := &recorder{block: make(chan struct{})}
	o := newOutbox(rec)
	o.put("/tasks/oom", &events.TaskOOM{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := o.close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-o.done // its goroutine ends too
}
