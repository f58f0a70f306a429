// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"github.com/containerd/containerd/api/events"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	eventsapi "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// warmMessages has protobuf learn the messages of a container's life, in the
// order in which they come.
func warmMessages() {
	for _, m := range []proto.Message{
		&ttrpc.Request{}, &task.CreateTaskRequest{Options: &anypb.Any{}}, &events.TaskCreate{},
		&ttrpc.Response{}, &task.CreateTaskResponse{},
		&eventsapi.ForwardRequest{},
		&task.WaitRequest{}, &task.StartRequest{}, &events.TaskStart{}, &task.StartResponse{},
		&events.TaskExit{}, &task.WaitResponse{}, &task.StateRequest{}, &task.StateResponse{},
		&task.DeleteRequest{}, &events.TaskDelete{}, &task.DeleteResponse{}, &task.ShutdownRequest{},
	} {
		_, _ = proto.Marshal(m)
	}
}
