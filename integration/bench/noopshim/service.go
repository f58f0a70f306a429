// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"sync"

	"github.com/containerd/containerd/api/events"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// service is one task that does nothing.
type service struct {
	publisher shim.Publisher
	stop      shutdown.Service

	mu     sync.Mutex
	id     string        // guarded by mu
	bundle string        // guarded by mu
	exited chan struct{} // guarded by mu; closed by Start
}

var (
	_ task.TTRPCTaskService = (*service)(nil)
	_ shim.TTRPCService     = (*service)(nil)
)

func (s *service) RegisterTTRPC(server *ttrpc.Server) error {
	task.RegisterTTRPCTaskService(server, s)
	return nil
}

func unimplemented() error { return errgrpc.ToGRPC(errdefs.ErrNotImplemented) }

func pid() uint32 { return uint32(os.Getpid()) }

func (s *service) Create(ctx context.Context, r *task.CreateTaskRequest) (*task.CreateTaskResponse, error) {
	s.mu.Lock()
	s.id, s.bundle, s.exited = r.ID, r.Bundle, make(chan struct{})
	s.mu.Unlock()
	event := &events.TaskCreate{ContainerID: r.ID, Bundle: r.Bundle, Pid: pid()}
	err := s.publisher.Publish(ctx, runtime.TaskCreateEventTopic, event)
	return &task.CreateTaskResponse{Pid: pid()}, err
}

func (s *service) Start(ctx context.Context, r *task.StartRequest) (*task.StartResponse, error) {
	event := &events.TaskStart{ContainerID: r.ID, Pid: pid()}
	if err := s.publisher.Publish(ctx, runtime.TaskStartEventTopic, event); err != nil {
		return nil, err
	}
	err := s.publisher.Publish(ctx, runtime.TaskExitEventTopic,
		&events.TaskExit{ContainerID: r.ID, ID: r.ID, Pid: pid(), ExitedAt: timestamppb.Now()})
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.exited)
	return &task.StartResponse{Pid: pid()}, err
}

func (s *service) Wait(ctx context.Context, _ *task.WaitRequest) (*task.WaitResponse, error) {
	s.mu.Lock()
	exited := s.exited
	s.mu.Unlock()
	select {
	case <-exited:
		return &task.WaitResponse{ExitedAt: timestamppb.Now()}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *service) State(context.Context, *task.StateRequest) (*task.StateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := &task.StateResponse{ID: s.id, Bundle: s.bundle, Pid: pid(), Status: tasktypes.Status_CREATED}
	select {
	case <-s.exited:
		state.Status = tasktypes.Status_STOPPED
	default:
	}
	return state, nil
}

func (s *service) Delete(ctx context.Context, r *task.DeleteRequest) (*task.DeleteResponse, error) {
	err := s.publisher.Publish(ctx, runtime.TaskDeleteEventTopic,
		&events.TaskDelete{ContainerID: r.ID, Pid: pid(), ExitedAt: timestamppb.Now()})
	return &task.DeleteResponse{Pid: pid(), ExitedAt: timestamppb.Now()}, err
}

func (s *service) Connect(context.Context, *task.ConnectRequest) (*task.ConnectResponse, error) {
	return &task.ConnectResponse{ShimPid: pid(), TaskPid: pid()}, nil
}

func (s *service) Shutdown(context.Context, *task.ShutdownRequest) (*emptypb.Empty, error) {
	s.stop.Shutdown()
	return &emptypb.Empty{}, nil
}

func (s *service) Pids(context.Context, *task.PidsRequest) (*task.PidsResponse, error) {
	return &task.PidsResponse{Processes: []*tasktypes.ProcessInfo{{Pid: pid()}}}, nil
}

func (s *service) Pause(context.Context, *task.PauseRequest) (*emptypb.Empty, error) {
	return nil, unimplemented()
}

func (s *service) Resume(context.Context, *task.ResumeRequest) (*emptypb.Empty, error) {
	return nil, unimplemented()
}

func (s *service) Checkpoint(context.Context, *task.CheckpointTaskRequest) (*emptypb.Empty, error) {
	return nil, unimplemented()
}

func (s *service) Kill(context.Context, *task.KillRequest) (*emptypb.Empty, error) {
	return nil, unimplemented()
}

func (s *service) Exec(context.Context, *task.ExecProcessRequest) (*emptypb.Empty, error) {
	return nil, unimplemented()
}

func (s *service) ResizePty(context.Context, *task.ResizePtyRequest) (*emptypb.Empty, error) {
	return nil, unimplemented()
}

func (s *service) CloseIO(context.Context, *task.CloseIORequest) (*emptypb.Empty, error) {
	return nil, unimplemented()
}

func (s *service) Update(context.Context, *task.UpdateTaskRequest) (*emptypb.Empty, error) {
	return nil, unimplemented()
}

func (s *service) Stats(context.Context, *task.StatsRequest) (*task.StatsResponse, error) {
	return nil, unimplemented()
}
