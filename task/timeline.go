// SPDX-License-Identifier: Apache-2.0

package task

import (
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/containerd-mini/mini/process"
)

// step is one event of one process; exec is nil for init.
type step struct {
	exec *process.Process
	kind kind
}

// timeline holds a container's events back until what must precede them was
// put into the outbox, or will never come. What is to come is promised
// beforehand, by whoever begins the work that leads to it; each promise is kept
// by post, once, or withdrawn by cancel.
//
//	event                 waits for what is promised of
//	create                -
//	OOM, exec added       create
//	start                 create
//	paused, resumed       create; init's start
//	checkpointed          create; init's start
//	exit of an exec       create; the exec's start
//	exit of init          create; init's start; checkpoint; start and exit of every exec
//	delete                init's exit
//
// Events that wait for nothing that is promised leave in the order of post:
// process posts an exec's addition before the exec can be started, and an OOM
// before the exit it explains.
type timeline struct {
	box *outbox

	mu       sync.Mutex
	promised map[step]int // guarded by mu; a refused second Start promises too
	held     []heldEvent  // guarded by mu; in the order of post
}

type heldEvent struct {
	step
	envelope
}

// newTimeline promises the create and the exit that every container has.
func newTimeline(box *outbox) *timeline {
	return &timeline{box: box, promised: map[step]int{{nil, created}: 1, {nil, exited}: 1}}
}

// promise announces an event that a later one must not overtake.
func (t *timeline) promise(steps ...step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range steps {
		t.promised[s]++
	}
}

// cancel withdraws promises.
func (t *timeline) cancel(steps ...step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range steps {
		t.settleLocked(s)
	}
	t.releaseLocked()
}

// giveUp takes back all that was promised of an exec. What is posted of it all the same
// is published when it comes.
func (t *timeline) giveUp(exec *process.Process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.promised {
		if s.exec == exec {
			delete(t.promised, s)
		}
	}
	t.releaseLocked()
}

// post gives an event to the outbox as soon as its order allows.
func (t *timeline) post(s step, event proto.Message) {
	topic := topics[s.kind]
	if s.kind == started && s.exec != nil {
		topic = execStartedTopic
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = append(t.held, heldEvent{s, envelope{topic, event}})
	t.releaseLocked()
}

// releaseLocked puts every held event that may go, until none may. A pass may
// free an earlier one, so it starts again after each.
func (t *timeline) releaseLocked() {
	for i := 0; i < len(t.held); {
		e := t.held[i]
		if t.waitsLocked(e.step) {
			i++
			continue
		}
		t.held = append(t.held[:i], t.held[i+1:]...)
		t.box.put(e.topic, e.event)
		t.settleLocked(e.step)
		i = 0
	}
}

// settleLocked takes one promise of s back, if there is any.
func (t *timeline) settleLocked(s step) {
	if t.promised[s]--; t.promised[s] <= 0 {
		delete(t.promised, s)
	}
}

// waitsLocked reports whether a promised step must come before s.
func (t *timeline) waitsLocked(s step) bool {
	init := s.exec == nil
	for p := range t.promised {
		switch {
		case p == s: // its own
		case p == step{nil, created}:
			return true
		case init && s.kind == exited && (p.exec != nil || p.kind == started):
			return true
		case p.exec == s.exec && p.kind < s.kind:
			return true
		}
	}
	return false
}
