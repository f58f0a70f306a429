// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/binary"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// answering serves a method Large, with an answer of many writes, and a method Slow,
// which tells on begun that it began and answers when it can read from end.
type answering struct {
	life       *life
	client     *ttrpc.Client
	begun, end chan struct{}
}

func serveAnswers(t *testing.T) *answering {
	t.Helper()
	a := &answering{begun: make(chan struct{}, 1), end: make(chan struct{}, 1)}
	a.life, _ = lifeOf(t, bundle(t), short)
	inner := func(ctx context.Context, u ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, m ttrpc.Method) (any, error) {
		return m(ctx, u)
	}
	server, err := ttrpc.NewServer(
		ttrpc.WithServerHandshaker(a.life),
		ttrpc.WithUnaryServerInterceptor(a.life.intercept(inner)),
	)
	if err != nil {
		t.Fatal(err)
	}
	server.RegisterService("test", &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"Large": func(_ context.Context, u func(any) error) (any, error) {
			return wrapperspb.String(strings.Repeat("x", 1<<20)), u(&emptypb.Empty{})
		},
		"Slow": func(_ context.Context, u func(any) error) (any, error) {
			err := u(&emptypb.Empty{})
			a.begun <- struct{}{}
			<-a.end
			return &emptypb.Empty{}, err
		},
	}})
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(context.Background(), l) }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a.client = ttrpc.NewClient(conn)
	t.Cleanup(func() {
		a.client.Close()
		server.Close()
	})
	return a
}

func TestAwaitAnswers(t *testing.T) {
	a := serveAnswers(t)
	for range 3 { // each is many writes, and one answer
		if err := a.client.Call(t.Context(), "test", "Large", &emptypb.Empty{}, &wrapperspb.StringValue{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.client.Call(t.Context(), "test", "None", &emptypb.Empty{}, &emptypb.Empty{}); err == nil {
		t.Fatal("there is no such method") // though there is an answer
	}
	answered := make(chan error, 1)
	go func() { answered <- a.client.Call(t.Context(), "test", "Slow", &emptypb.Empty{}, &emptypb.Empty{}) }()
	<-a.begun
	var waited atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.life.awaitAnswers(time.Minute)
		waited.Store(true)
	}()
	time.Sleep(50 * time.Millisecond)
	if waited.Load() {
		t.Error("did not wait for an answer")
	}
	a.end <- struct{}{}
	<-done
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	a.life.awaitAnswers(time.Minute) // there is none to wait for
}

// Nobody waits for the answer to a client that has gone.
func TestAwaitNoAnswersOfAGoneClient(t *testing.T) {
	a := serveAnswers(t)
	go func() { _ = a.client.Call(context.Background(), "test", "Slow", &emptypb.Empty{}, &emptypb.Empty{}) }()
	<-a.begun
	a.client.Close()
	a.life.awaitAnswers(time.Minute)
	a.end <- struct{}{}
}

func TestAwaitAnswersIsBounded(t *testing.T) {
	a := serveAnswers(t)
	go func() { _ = a.client.Call(context.Background(), "test", "Slow", &emptypb.Empty{}, &emptypb.Empty{}) }()
	<-a.begun
	a.life.awaitAnswers(20 * time.Millisecond)
	a.end <- struct{}{}
}

func TestFramesHoweverCut(t *testing.T) {
	var stream []byte
	message := func(kind byte, size int) {
		stream = binary.BigEndian.AppendUint32(stream, uint32(size))
		stream = append(stream, 0, 0, 0, 1, kind, 0)
		stream = append(stream, make([]byte, size)...)
	}
	for _, size := range []int{0, 1, 0, 0, 300, 7} {
		message(response, size)
		message(3, size) // data
	}
	for cut := 1; cut <= len(stream); cut++ {
		var f frames
		ended := 0
		for p := range slices.Chunk(stream, cut) {
			ended += f.count(p, response)
		}
		if ended != 6 {
			t.Errorf("%d messages in pieces of %d bytes, want 6", ended, cut)
		}
	}
}
