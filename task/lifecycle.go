// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/api/events"
	api "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/log"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/containerd-mini/mini/process"
)

// Create makes a container up to its gate; one of a checkpoint has no process, and
// pid 0, until Start.
func (s *Service) Create(ctx context.Context, r *api.CreateTaskRequest) (*api.CreateTaskResponse, error) {
	o, err := DecodeOptions(r.Options)
	if err != nil {
		return nil, fmt.Errorf("create task %s: %w", r.ID, err)
	}
	t, err := s.reserve(r.ID)
	if err != nil {
		return nil, err
	}
	defer s.creating.Done()
	c, err := process.New(ctx, &process.Config{
		ID: r.ID, Namespace: s.namespace, Bundle: r.Bundle, Rootfs: rootfs(r.Rootfs),
		Stdio: process.Stdio{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
		Options: process.Options{
			NoPivotRoot: o.NoPivotRoot, NoNewKeyring: o.NoNewKeyring, SystemdCgroup: o.SystemdCgroup,
			IoUID: o.IoUid, IoGID: o.IoGid,
		},
		Restore: restore(r, o), Notify: t.notify(r.ID),
	})
	if err != nil {
		s.leave(r.ID, t)
		return nil, err
	}
	if !s.enter(r.ID, t, c) {
		if err := c.Close(context.WithoutCancel(ctx)); err != nil {
			log.L.WithError(err).WithField("id", r.ID).Error("take container back")
		}
		return nil, shuttingDown(r.ID)
	}
	pid := uint32(c.Init().Pid())
	t.events.post(step{nil, created}, &events.TaskCreate{
		ContainerID: r.ID, Bundle: r.Bundle, Rootfs: r.Rootfs, Checkpoint: r.Checkpoint, Pid: pid,
		IO: &events.TaskIO{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
	})
	return &api.CreateTaskResponse{Pid: pid}, nil
}

// Start runs the container's program, or an exec.
func (s *Service) Start(ctx context.Context, r *api.StartRequest) (*api.StartResponse, error) {
	t, p, err := s.findProcess(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	withdraw := t.promiseStart(p)
	if err := p.Start(ctx); err != nil {
		withdraw()
		return nil, err
	}
	pid := uint32(p.Pid())
	t.started(r.ID, p, pid)
	return &api.StartResponse{Pid: pid}, nil
}

// Delete releases an ended container, or an exec.
func (s *Service) Delete(ctx context.Context, r *api.DeleteRequest) (*api.DeleteResponse, error) {
	t, p, err := s.findProcess(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	exit, err := p.Delete(ctx)
	if err != nil {
		return nil, err
	}
	if p.IsInit() {
		if exit.Pid == 0 { // it never ran
			t.events.cancel(step{nil, exited})
		}
		t.deleted(r.ID, exit)
		s.leave(r.ID, t)
	}
	return &api.DeleteResponse{
		Pid: uint32(exit.Pid), ExitStatus: exit.Code, ExitedAt: timestamppb.New(exit.At),
	}, nil
}

// State returns the state of a process.
func (s *Service) State(_ context.Context, r *api.StateRequest) (*api.StateResponse, error) {
	_, c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	p, err := c.Process(r.ExecID)
	if err != nil {
		return nil, err
	}
	now, stdio := p.Status(), p.Stdio()
	return &api.StateResponse{
		ID: p.ID(), Bundle: c.Bundle(), Pid: uint32(now.Pid), Status: status(now.State),
		Stdin: stdio.Stdin, Stdout: stdio.Stdout, Stderr: stdio.Stderr, Terminal: stdio.Terminal,
		ExitStatus: now.Exit.Code, ExitedAt: timestamppb.New(now.Exit.At),
	}, nil
}

// Wait waits for the end of a process.
func (s *Service) Wait(ctx context.Context, r *api.WaitRequest) (*api.WaitResponse, error) {
	_, p, err := s.findProcess(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	exit, err := p.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return &api.WaitResponse{ExitStatus: exit.Code, ExitedAt: timestamppb.New(exit.At)}, nil
}

// Connect returns the shim's pid, and the container's if there is one.
func (s *Service) Connect(_ context.Context, r *api.ConnectRequest) (*api.ConnectResponse, error) {
	resp := &api.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if _, c, err := s.find(r.ID); err == nil {
		resp.TaskPid = uint32(c.Init().Pid())
	}
	return resp, nil
}

// Shutdown ends the shim when it has no container any more, and else does
// nothing: containerd calls it after every delete.
func (s *Service) Shutdown(context.Context, *api.ShutdownRequest) (*emptypb.Empty, error) {
	if s.closeIfEmpty() {
		s.shutdown()
	}
	return &emptypb.Empty{}, nil
}

// rootfs turns the request's mounts into the OCI's, with the destination
// relative to the rootfs.
func rootfs(mounts []*types.Mount) []specs.Mount {
	list := make([]specs.Mount, 0, len(mounts))
	for _, m := range mounts {
		list = append(list, specs.Mount{Type: m.Type, Source: m.Source, Destination: m.Target, Options: m.Options})
	}
	return list
}
