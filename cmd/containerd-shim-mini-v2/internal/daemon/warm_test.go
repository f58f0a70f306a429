// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"runtime"
	"testing"

	task "github.com/containerd/containerd/api/runtime/task/v3"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestWarmMessages(t *testing.T) {
	testenv.Subprocess(t, 0, func(t *testing.T) {
		warmMessages()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, m := range []proto.Message{
			&task.CreateTaskRequest{ID: "x"},
			&task.StartResponse{Pid: 1},
			&task.DeleteResponse{Pid: 1},
		} {
			if _, err := proto.Marshal(m); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<10 {
			t.Errorf("the first messages after it took %d bytes", n)
		}
	})
}
