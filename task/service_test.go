// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	api "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// serve runs a service behind a socket and returns a client of it.
func serve(t *testing.T) (*Service, *ttrpc.Client, *int) {
	t.Helper()
	shutdowns := 0
	s := New(Config{Namespace: "ns", Publisher: &recorder{}, Shutdown: func() { shutdowns++ }})
	server, err := ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(Interceptor))
	if err != nil {
		t.Fatal(err)
	}
	s.Register(server)
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(context.Background(), listener) }()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, client, &shutdowns
}

// requests are one of each that names a task, with what comes back.
var requests = map[string]struct{ req, resp proto.Message }{
	"State":      {&api.StateRequest{ID: "x"}, &api.StateResponse{}},
	"Start":      {&api.StartRequest{ID: "x"}, &api.StartResponse{}},
	"Delete":     {&api.DeleteRequest{ID: "x"}, &api.DeleteResponse{}},
	"Pids":       {&api.PidsRequest{ID: "x"}, &api.PidsResponse{}},
	"Pause":      {&api.PauseRequest{ID: "x"}, &emptypb.Empty{}},
	"Resume":     {&api.ResumeRequest{ID: "x"}, &emptypb.Empty{}},
	"Checkpoint": {&api.CheckpointTaskRequest{ID: "x"}, &emptypb.Empty{}},
	"Kill":       {&api.KillRequest{ID: "x", Signal: 9}, &emptypb.Empty{}},
	"Exec":       {&api.ExecProcessRequest{ID: "x", ExecID: "e"}, &emptypb.Empty{}},
	"ResizePty":  {&api.ResizePtyRequest{ID: "x"}, &emptypb.Empty{}},
	"CloseIO":    {&api.CloseIORequest{ID: "x"}, &emptypb.Empty{}},
	"Update":     {&api.UpdateTaskRequest{ID: "x"}, &emptypb.Empty{}},
	"Wait":       {&api.WaitRequest{ID: "x"}, &api.WaitResponse{}},
	"Stats":      {&api.StatsRequest{ID: "x"}, &api.StatsResponse{}},
}

func TestAnUnknownTaskIsNotFoundUnderBothNames(t *testing.T) {
	_, client, _ := serve(t)
	for _, service := range []string{serviceV2, serviceV3} {
		for method, r := range requests {
			err := client.Call(t.Context(), service, method, r.req, r.resp)
			if !errdefs.IsNotFound(errgrpc.ToNative(err)) {
				t.Errorf("%s of %s: got %v", method, service, err)
			}
		}
	}
}

func TestWhatNeedsNoTask(t *testing.T) {
	_, client, shutdowns := serve(t)
	var c api.ConnectResponse
	if err := client.Call(t.Context(), serviceV3, "Connect", &api.ConnectRequest{ID: "x"}, &c); err != nil {
		t.Fatal(err)
	}
	if int(c.ShimPid) != os.Getpid() || c.TaskPid != 0 {
		t.Errorf("connect: %v", &c)
	}
	err := client.Call(t.Context(), serviceV3, "Shutdown", &api.ShutdownRequest{ID: "x"}, &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if *shutdowns != 1 {
		t.Errorf("%d shutdowns", *shutdowns)
	}
}

// A container that is created after Shutdown found the shim empty would be killed by
// the shim's end.
func TestNoCreateAfterShutdown(t *testing.T) {
	s, client, shutdowns := serve(t)
	if _, err := s.reserve("x"); err != nil {
		t.Fatal(err)
	}
	shutdown := func() {
		t.Helper()
		if err := client.Call(t.Context(), serviceV3, "Shutdown", &api.ShutdownRequest{}, &emptypb.Empty{}); err != nil {
			t.Fatal(err)
		}
	}
	shutdown()
	if *shutdowns != 0 {
		t.Error("a shim with a task on its way shuts down")
	}
	s.leave("x", s.tasks["x"])
	s.creating.Done()
	shutdown()
	if *shutdowns != 1 {
		t.Errorf("%d shutdowns", *shutdowns)
	}
	_, err := s.reserve("y")
	if err == nil {
		s.creating.Done()
	}
	if !errdefs.IsUnavailable(err) {
		t.Errorf("create after Shutdown: got %v", err)
	}
}

func TestCreateRefused(t *testing.T) {
	s, client, _ := serve(t)
	create := func(r *api.CreateTaskRequest) error {
		return errgrpc.ToNative(client.Call(t.Context(), serviceV3, "Create", r, &api.CreateTaskResponse{}))
	}
	for range 2 { // the id is free again
		if err := create(&api.CreateTaskRequest{ID: "x", Bundle: "/nonexistent"}); !errdefs.IsNotFound(err) {
			t.Errorf("no bundle: got %v", err)
		}
	}
	if err := create(&api.CreateTaskRequest{ID: "x", Bundle: "/nonexistent", Checkpoint: "/c"}); !errdefs.IsNotFound(err) {
		t.Errorf("no bundle and no checkpoint: got %v", err)
	}
	if err := create(&api.CreateTaskRequest{ID: "../x", Bundle: "/"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("bad id: got %v", err)
	}
	if _, err := s.reserve("x"); err != nil {
		t.Fatal(err)
	}
	if err := create(&api.CreateTaskRequest{ID: "x", Bundle: "/nonexistent"}); !errdefs.IsAlreadyExists(err) {
		t.Errorf("taken id: got %v", err)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close(t.Context()) }()
	select {
	case err := <-closed:
		t.Fatalf("Close did not wait for a create: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.creating.Done()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if err := create(&api.CreateTaskRequest{ID: "y", Bundle: "/"}); !errdefs.IsUnavailable(err) {
		t.Errorf("after Close: got %v", err)
	}
}
