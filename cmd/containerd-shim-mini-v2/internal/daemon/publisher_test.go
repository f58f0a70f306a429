// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	events "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// receiver is containerd's event service.
type receiver struct {
	mu     sync.Mutex
	ids    []string // guarded by mu; container ids in the order received
	urls   []string // guarded by mu
	refuse func(id string) error
}

func (r *receiver) Forward(_ context.Context, req *events.ForwardRequest) (*emptypb.Empty, error) {
	var e apievents.TaskExit
	if err := req.Envelope.Event.UnmarshalTo(&e); err != nil {
		// The type URL has no slash, as containerd's have none.
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		if err := r.refuse(e.ContainerID); err != nil {
			return nil, err
		}
	}
	r.ids = append(r.ids, e.ContainerID)
	r.urls = append(r.urls, req.Envelope.Namespace+" "+req.Envelope.Topic+" "+req.Envelope.Event.TypeUrl)
	return new(emptypb.Empty), nil
}

func (r *receiver) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

// serve runs the service until stop.
func (r *receiver) serve(t *testing.T, path string) (stop func()) {
	t.Helper()
	inner, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l := &trackingListener{Listener: inner}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	events.RegisterTTRPCEventsService(server, r)
	done := make(chan error, 1)
	go func() { done <- server.Serve(t.Context(), l) }()
	return sync.OnceFunc(func() {
		server.Close()
		if err := <-done; !errors.Is(err, ttrpc.ErrServerClosed) {
			t.Error(err)
		}
		l.hangUp()
	})
}

// trackingListener can end its connections as the death of a process does.
type trackingListener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

func (l *trackingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
	return c, err
}

func (l *trackingListener) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
}

func exit(id string) *apievents.TaskExit { return &apievents.TaskExit{ContainerID: id} }

func newTestPublisher(t *testing.T, path string) *Publisher {
	p := newPublisher(path, "ns1")
	t.Cleanup(func() {
		if p.client != nil {
			p.client.Close()
		}
	})
	return p
}

func TestPublish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	r := new(receiver)
	defer r.serve(t, path)()
	p := newTestPublisher(t, path)
	for _, id := range []string{"a", "b", "c"} {
		if err := p.Publish(t.Context(), "/tasks/exit", exit(id)); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.received(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("received %q", got)
	}
	if want := "ns1 /tasks/exit containerd.events.TaskExit"; r.urls[0] != want {
		t.Errorf("received %q, want %q", r.urls[0], want)
	}
}

// containerd is away when an event comes, comes back, and goes and comes again.
func TestPublishWaitsForContainerd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	p := newTestPublisher(t, path)
	r := new(receiver)
	for i, id := range []string{"a", "b", "c"} {
		done := make(chan error, 1)
		go func() { done <- p.Publish(t.Context(), "/tasks/exit", exit(id)) }()
		select {
		case err := <-done:
			t.Fatalf("Publish returned %v without containerd", err)
		case <-time.After(100 * time.Millisecond):
		}
		stop := r.serve(t, path)
		p.kick()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("not published")
		}
		if got := r.received(); len(got) != i+1 || got[i] != id {
			t.Fatalf("received %q", got)
		}
		stop()
	}
}

func TestPublishEndsWithContext(t *testing.T) {
	p := newTestPublisher(t, filepath.Join(t.TempDir(), "s"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Publish(ctx, "/tasks/exit", exit("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Publish: %v", err)
	}
}

// An event that containerd does not take must not hold up the next one; one
// that it fails to take at first must not be lost.
func TestPublishRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	tries := map[string]int{}
	r := &receiver{refuse: func(id string) error {
		tries[id]++
		switch {
		case id == "bad":
			return status.Error(codes.InvalidArgument, "no such topic")
		case id == "never", id == "later" && tries[id] < 3:
			return status.Error(codes.Internal, "busy")
		}
		return nil
	}}
	defer r.serve(t, path)()
	p := newTestPublisher(t, path)
	if err := p.Publish(t.Context(), "/x", exit("bad")); err == nil || !strings.Contains(err.Error(), "publish /x: ") {
		t.Errorf("Publish: %v", err)
	}
	if err := p.Publish(t.Context(), "/x", exit("never")); err == nil {
		t.Error("Publish went on for ever")
	}
	if err := p.Publish(t.Context(), "/x", exit("later")); err != nil {
		t.Errorf("Publish: %v", err)
	}
	if tries["bad"] != 1 || tries["never"] != maxRefused || tries["later"] != 3 {
		t.Errorf("tries: %v", tries)
	}
	if got := r.received(); !slices.Equal(got, []string{"later"}) {
		t.Errorf("received %q", got)
	}
}
