// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"

	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"

	"github.com/containerd-mini/mini/process"
)

// Interceptor turns the errdefs errors of requests into status codes. It is to
// stand around every request, and is the only place that does.
func Interceptor(ctx context.Context, u ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, m ttrpc.Method) (any, error) {
	resp, err := m(ctx, u)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return resp, nil
}

// status returns containerd's status for a process's state. As with runc's shim, an exec
// that could not be started stays created, and a task is running until its exit is
// announced.
func status(s process.State) tasktypes.Status {
	switch s {
	case process.Created, process.Starting, process.Discarding, process.Failed,
		process.Prepared, process.Dropping, process.Restoring:
		return tasktypes.Status_CREATED
	case process.Running, process.Exiting, process.Dumping:
		return tasktypes.Status_RUNNING
	case process.Pausing:
		return tasktypes.Status_PAUSING
	case process.Paused, process.Resuming, process.DumpingPaused:
		return tasktypes.Status_PAUSED
	case process.Stopped, process.Deleting, process.Deleted:
		return tasktypes.Status_STOPPED
	}
	return tasktypes.Status_UNKNOWN
}
