// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"syscall"

	"github.com/containerd/containerd/api/events"
	api "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Pids lists the container's processes; those that are execs say so.
func (s *Service) Pids(ctx context.Context, r *api.PidsRequest) (*api.PidsResponse, error) {
	first := firstRequest(ctx)
	_, c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	pids, err := c.Pids()
	if first {
		pids, err = pidsForLoad(c, pids, err)
	}
	if err != nil {
		return nil, err
	}
	resp := &api.PidsResponse{}
	for _, p := range pids {
		info := &tasktypes.ProcessInfo{Pid: uint32(p.Pid)}
		if p.ExecID != "" {
			if info.Info, err = pack(&options.ProcessDetails{ExecID: p.ExecID}); err != nil {
				return nil, err
			}
		}
		resp.Processes = append(resp.Processes, info)
	}
	return resp, nil
}

// Pause freezes a running container.
func (s *Service) Pause(ctx context.Context, r *api.PauseRequest) (*emptypb.Empty, error) {
	t, c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	if err := c.Pause(ctx); err != nil {
		return nil, err
	}
	t.events.post(step{nil, paused}, &events.TaskPaused{ContainerID: r.ID})
	return &emptypb.Empty{}, nil
}

// Resume thaws a paused container.
func (s *Service) Resume(ctx context.Context, r *api.ResumeRequest) (*emptypb.Empty, error) {
	t, c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	if err := c.Resume(ctx); err != nil {
		return nil, err
	}
	t.events.post(step{nil, resumed}, &events.TaskResumed{ContainerID: r.ID})
	return &emptypb.Empty{}, nil
}

// Kill signals init, an exec, or with All every process of the container.
func (s *Service) Kill(_ context.Context, r *api.KillRequest) (*emptypb.Empty, error) {
	_, p, err := s.findProcess(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if err := p.Kill(syscall.Signal(r.Signal), r.All); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// Update changes the container's resources, an OCI LinuxResources in JSON.
func (s *Service) Update(ctx context.Context, r *api.UpdateTaskRequest) (*emptypb.Empty, error) {
	_, c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	if err := c.Update(ctx, r.Resources.GetValue()); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// Stats are the container's io.containerd.cgroups.v2.Metrics.
func (s *Service) Stats(_ context.Context, r *api.StatsRequest) (*api.StatsResponse, error) {
	_, c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	m, err := c.Stats()
	if err != nil {
		return nil, err
	}
	a, err := pack(m)
	if err != nil {
		return nil, err
	}
	return &api.StatsResponse{Stats: a}, nil
}

// pack makes an Any as containerd's typeurl does: the bare name as type URL.
func pack(m proto.Message) (*anypb.Any, error) {
	value, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return &anypb.Any{TypeUrl: string(m.ProtoReflect().Descriptor().FullName()), Value: value}, nil
}
