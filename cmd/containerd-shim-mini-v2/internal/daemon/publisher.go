// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	events "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	forwardTimeout = 5 * time.Second
	minBackoff     = 20 * time.Millisecond
	maxBackoff     = 2 * time.Second

	// maxRefused is how often containerd may answer one event with an error
	// before it is given up: it would hold up all later ones. Failing to reach
	// containerd does not count.
	maxRefused = 5
)

// Publisher hands events to containerd over one connection, which it makes when
// there is something to say.
//
// It is for one goroutine, which it makes wait: package task queues the events.
type Publisher struct {
	address   string // a unix socket's path
	namespace string
	wake      chan struct{}
	client    *ttrpc.Client // nil while there is no connection
}

// newPublisher returns a publisher to the ttrpc socket at address, for the
// events of one of containerd's namespaces.
func newPublisher(address, namespace string) *Publisher {
	return &Publisher{address: address, namespace: namespace, wake: make(chan struct{}, 1)}
}

// Publish returns when containerd has the event, however long it is away:
// containers that ended while it was restarting must not look alive for ever.
// Only ctx ends the wait, or an event that containerd does not want.
//
// An event is delivered at least once; twice if containerd took it and went
// before it said so.
func (p *Publisher) Publish(ctx context.Context, topic string, event proto.Message) error {
	value, err := proto.Marshal(event)
	if err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	e := &types.Envelope{
		Timestamp: timestamppb.Now(),
		Namespace: p.namespace,
		Topic:     topic,
		Event:     &anypb.Any{TypeUrl: string(event.ProtoReflect().Descriptor().FullName()), Value: value},
	}
	backoff, refused := minBackoff, 0
	for {
		err := p.forward(ctx, e)
		if err == nil {
			return nil
		}
		if isAnswer(err) {
			refused++
			if refused == maxRefused || status.Code(err) == codes.InvalidArgument {
				return fmt.Errorf("publish %s: %w", topic, err)
			}
		}
		log.L.WithError(err).WithField("topic", topic).Debug("publish event: will try again")
		if backoff, err = p.pause(ctx, backoff); err != nil {
			return fmt.Errorf("publish %s: %w", topic, err)
		}
	}
}

// kick ends a pause between two tries: there is a sign that containerd is back.
// It may be called by any goroutine.
func (p *Publisher) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// pause waits before the next try and returns how long to wait before the one
// after that.
func (p *Publisher) pause(ctx context.Context, backoff time.Duration) (time.Duration, error) {
	timer := time.NewTimer(backoff)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-p.wake:
		return minBackoff, nil
	case <-timer.C:
		return min(2*backoff, maxBackoff), nil
	}
}

// forward sends one event and waits for containerd to have it.
func (p *Publisher) forward(ctx context.Context, e *types.Envelope) error {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	fresh := p.client == nil
	err := p.forwardOnce(ctx, e)
	if err != nil && p.client == nil && !fresh {
		// The connection was of a containerd that is gone; there may be another.
		err = p.forwardOnce(ctx, e)
	}
	return err
}

func (p *Publisher) forwardOnce(ctx context.Context, e *types.Envelope) error {
	if p.client == nil {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", p.address)
		if err != nil {
			return err
		}
		p.client = ttrpc.NewClient(conn)
	}
	_, err := events.NewTTRPCEventsClient(p.client).Forward(ctx, &events.ForwardRequest{Envelope: e})
	if err != nil && !isAnswer(err) {
		p.client.Close()
		p.client = nil
	}
	return err
}

// isAnswer tells an error that containerd answered with from one of reaching it.
func isAnswer(err error) bool {
	s, ok := status.FromError(err)
	return ok && s.Code() != codes.Unavailable && !errors.Is(err, ttrpc.ErrClosed)
}
