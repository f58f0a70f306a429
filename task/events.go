// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/log"
	"google.golang.org/protobuf/proto"
)

// Publisher hands events to containerd. It is called by one goroutine at a time,
// and decides itself how often it tries before ctx is done.
type Publisher interface {
	Publish(ctx context.Context, topic string, event proto.Message) error
}

// kind is a step in the life of a task that containerd hears of.
type kind uint8

// Steps, in the order in which one process can take them; an OOM stands where
// nothing but the create comes before it.
const (
	created kind = iota // init
	oom                 // init
	added               // execs
	started
	paused       // init
	resumed      // init
	checkpointed // init
	exited
	deleted // init
)

// topics are containerd's (core/runtime/events.go); a start has two.
var topics = [...]string{
	created: "/tasks/create", added: "/tasks/exec-added", started: "/tasks/start",
	paused: "/tasks/paused", resumed: "/tasks/resumed", checkpointed: "/tasks/checkpointed", oom: "/tasks/oom",
	exited: "/tasks/exit", deleted: "/tasks/delete",
}

const execStartedTopic = "/tasks/exec-started"

// maxQueued is the number of events that wait for containerd before events that only
// inform are dropped. A shim gets no requests while containerd is away. So the queue is
// full only if containerd sends requests and takes no events, or if OOM kills do not end.
// An event takes some 200 bytes.
const maxQueued = 1 << 14

// informs says which topics can be missed. Exits and deletes never: containerd and
// its clients know of an end from nothing else, and a container that has ended would
// look alive for ever. There can be no more of them than there were processes;
// creates and starts are as many.
var informs = map[string]bool{
	topics[oom]: true, topics[added]: true, execStartedTopic: true, topics[paused]: true, topics[resumed]: true,
}

// outbox publishes events one after the other in the order of put. It never
// makes its callers wait.
type outbox struct {
	publisher Publisher
	ctx       context.Context // of every Publish; ends when close gives up
	cancel    context.CancelFunc

	mu     sync.Mutex
	queue  []envelope    // guarded by mu
	taken  int           // guarded by mu; taken from queue and not yet published
	closed bool          // guarded by mu
	wake   chan struct{} // has a value when queue or closed changed
	done   chan struct{} // closed when the last event is published
}

type envelope struct {
	topic string
	event proto.Message
}

// newOutbox starts the publishing goroutine, which ends after close.
func newOutbox(p Publisher) *outbox {
	o := &outbox{publisher: p, wake: make(chan struct{}, 1), done: make(chan struct{})}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	go o.run()
	return o
}

func (o *outbox) put(topic string, event proto.Message) {
	o.mu.Lock()
	if o.spareLocked(topic, event) {
		o.mu.Unlock()
		return
	}
	o.queue = append(o.queue, envelope{topic, event})
	o.mu.Unlock()
	o.signal()
}

// spareLocked reports whether an event need not be queued: it is an OOM and the
// container's last event in the queue is an OOM already, or it only informs and the
// queue is full.
func (o *outbox) spareLocked(topic string, event proto.Message) bool {
	if !informs[topic] {
		return false
	}
	if len(o.queue)+o.taken >= maxQueued {
		log.L.WithField("topic", topic).Warn("containerd takes no events: dropped one")
		return true
	}
	e, ok := event.(*events.TaskOOM)
	if !ok {
		return false
	}
	for _, queued := range slices.Backward(o.queue) {
		if owner, ok := queued.event.(interface{ GetContainerID() string }); ok && owner.GetContainerID() == e.ContainerID {
			return queued.topic == topic
		}
	}
	return false
}

// close publishes what is left, as long as ctx allows.
func (o *outbox) close(ctx context.Context) error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.signal()
	defer o.cancel()
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("publish events: %w", ctx.Err())
	}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) run() {
	defer close(o.done)
	for {
		o.mu.Lock()
		queue, closed := o.queue, o.closed
		o.queue, o.taken = nil, len(queue)
		o.mu.Unlock()
		for _, e := range queue {
			if err := o.publisher.Publish(o.ctx, e.topic, e.event); err != nil {
				log.L.WithError(err).WithField("topic", e.topic).Error("publish event")
			}
			o.mu.Lock()
			o.taken--
			o.mu.Unlock()
		}
		switch {
		case len(queue) > 0:
		case closed:
			return
		default:
			<-o.wake
		}
	}
}
