// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"fmt"

	api "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd-mini/mini/process"
)

// Exec adds a process to a container, for Start to run.
func (s *Service) Exec(_ context.Context, r *api.ExecProcessRequest) (*emptypb.Empty, error) {
	_, c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	_, err = c.Exec(&process.ExecConfig{
		ID: r.ExecID, Spec: r.Spec.GetValue(),
		Stdio: process.Stdio{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
	})
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// ResizePty sets the size of a process's terminal.
func (s *Service) ResizePty(_ context.Context, r *api.ResizePtyRequest) (*emptypb.Empty, error) {
	_, p, err := s.findProcess(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if r.Width > maxSize || r.Height > maxSize {
		return nil, fmt.Errorf("resize terminal to %dx%d: too big: %w", r.Width, r.Height, errdefs.ErrInvalidArgument)
	}
	if err := p.Resize(uint16(r.Width), uint16(r.Height)); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// maxSize is the greatest number in a struct winsize (ioctl_tty(2)).
const maxSize = 1<<16 - 1

// CloseIO closes stdin. As in runc's shim it does so whatever the request's stdin flag
// says: the request can mean nothing else.
func (s *Service) CloseIO(_ context.Context, r *api.CloseIORequest) (*emptypb.Empty, error) {
	_, p, err := s.findProcess(r.ID, r.ExecID)
	if err != nil {
		return nil, err
	}
	if err := p.CloseStdin(); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}
