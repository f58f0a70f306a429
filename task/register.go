// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"

	api "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
)

// Names the service is known by. The two versions are the same on the wire;
// containerd 1.7 asks for v2 unless told otherwise.
const (
	serviceV2 = "containerd.task.v2.Task"
	serviceV3 = "containerd.task.v3.Task"
)

var _ api.TTRPCTaskService = (*Service)(nil)

// Register makes s answer on server, under both names.
func (s *Service) Register(server *ttrpc.Server) {
	for _, name := range []string{serviceV2, serviceV3} {
		server.RegisterService(name, &ttrpc.ServiceDesc{Methods: s.methods()})
	}
}

// methods are the requests of containerd's task service.
func (s *Service) methods() map[string]ttrpc.Method {
	return map[string]ttrpc.Method{
		"State":      later(s.State),
		"Create":     later(s.Create),
		"Start":      later(s.Start),
		"Delete":     later(s.Delete),
		"Pids":       method(s.Pids),
		"Pause":      later(s.Pause),
		"Resume":     later(s.Resume),
		"Checkpoint": later(s.Checkpoint),
		"Kill":       later(s.Kill),
		"Exec":       later(s.Exec),
		"ResizePty":  later(s.ResizePty),
		"CloseIO":    later(s.CloseIO),
		"Update":     later(s.Update),
		"Wait":       later(s.Wait),
		"Stats":      later(s.Stats),
		"Connect":    method(s.Connect),
		"Shutdown":   later(s.Shutdown),
	}
}

// later is method for the requests that end a connection's beginning.
func later[Req, Resp any](handle func(context.Context, *Req) (Resp, error)) ttrpc.Method {
	return method(func(ctx context.Context, req *Req) (Resp, error) {
		firstRequest(ctx)
		return handle(ctx, req)
	})
}

// method adapts a request handler to ttrpc.
func method[Req, Resp any](handle func(context.Context, *Req) (Resp, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		req := new(Req)
		if err := unmarshal(req); err != nil {
			return nil, err
		}
		return handle(ctx, req)
	}
}
