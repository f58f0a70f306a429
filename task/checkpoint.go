// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/api/events"
	api "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd-mini/mini/process"
)

// checkpointOptions is the type of a checkpoint's options.
const checkpointOptions = "containerd.runc.v1.CheckpointOptions"

// Checkpoint writes the container's state to the directory of the request, and
// ends it if the options say so.
func (s *Service) Checkpoint(ctx context.Context, r *api.CheckpointTaskRequest) (*emptypb.Empty, error) {
	t, c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	cfg, err := checkpointConfig(r)
	if err != nil {
		return nil, fmt.Errorf("checkpoint task %s: %w", r.ID, err)
	}
	done := step{nil, checkpointed}
	t.events.promise(done) // the exit that it may bring about comes after it
	if err := c.Checkpoint(ctx, cfg); err != nil {
		t.events.cancel(done)
		return nil, err
	}
	t.events.post(done, &events.TaskCheckpointed{ContainerID: r.ID, Checkpoint: cfg.Images})
	return &emptypb.Empty{}, nil
}

// checkpointConfig reads a request. Without options, as from CRI to a runtime that
// is not runc's, the container goes on.
func checkpointConfig(r *api.CheckpointTaskRequest) (*process.Checkpoint, error) {
	o, err := decodeCheckpointOptions(r.Options)
	if err != nil {
		return nil, err
	}
	images := r.Path
	if images == "" {
		images = o.ImagePath
	}
	switch {
	case images == "":
		return nil, fmt.Errorf("no path: %w", errdefs.ErrInvalidArgument)
	case o.ImagePath != "" && o.ImagePath != images:
		return nil, fmt.Errorf("image path %s is not the path %s: %w", o.ImagePath, images, errdefs.ErrInvalidArgument)
	}
	return &process.Checkpoint{
		Images: images, Work: o.WorkPath, Parent: o.ParentPath, Exit: o.Exit, Chain: o.ImagePath != "" && !o.Exit,
		OpenTCP: o.OpenTcp, ExternalUnixSockets: o.ExternalUnixSockets, Terminal: o.Terminal, FileLocks: o.FileLocks,
		EmptyNamespaces: o.EmptyNamespaces, CgroupsMode: o.CgroupsMode,
	}, nil
}

func decodeCheckpointOptions(a *anypb.Any) (*options.CheckpointOptions, error) {
	var o options.CheckpointOptions
	if len(a.GetValue()) == 0 {
		return &o, nil
	}
	url := a.GetTypeUrl()
	if url[strings.LastIndexByte(url, '/')+1:] != checkpointOptions {
		return nil, fmt.Errorf("decode options: type %q is not known: %w", url, errdefs.ErrInvalidArgument)
	}
	if err := proto.Unmarshal(a.GetValue(), &o); err != nil {
		return nil, fmt.Errorf("decode options: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return &o, nil
}

// restore returns the checkpoint to make a container of, or nil: the one that containerd
// has unpacked, or the one that the options name. A client may name the path of a chain
// of checkpoints. An unpacked one must be complete.
func restore(r *api.CreateTaskRequest, o *options.Options) *process.Restore {
	images := r.Checkpoint
	if images == "" {
		images = o.CriuImagePath
	}
	if images == "" {
		return nil
	}
	return &process.Restore{
		Images: images, Work: o.CriuWorkPath, Chained: images == o.CriuImagePath || r.ParentCheckpoint != "",
	}
}
