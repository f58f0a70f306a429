// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"sync/atomic"

	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/process"
)

// connection is a client's connection to the service.
type connection struct {
	asked atomic.Bool // something other than Connect was asked on it
}

type connectionKey struct{}

// Connected returns the context of the requests of one connection.
func (s *Service) Connected(ctx context.Context) context.Context {
	return context.WithValue(ctx, connectionKey{}, new(connection))
}

// firstRequest reports whether a request is the first of its connection, apart from
// Connect. It notes that there was one.
func firstRequest(ctx context.Context) bool {
	c, ok := ctx.Value(connectionKey{}).(*connection)
	return ok && !c.asked.Swap(true)
}

// pidsForLoad changes the answer to the Pids with which containerd begins a
// connection when it starts (loadShim in core/runtime/v2/shim_load.go): it wants to
// know whether the shim has a task. If it believes not, it deletes the task, and the
// exit of one that ended while containerd was away is lost:
//
//	1.6         does not ask
//	1.7 to 2.2  deletes after an empty list and after any error
//	2.3, 2.4    deletes after an empty list and after NotFound
//
// So the list names init where nothing else is left, as ps(1) lists a process that has
// ended until its exit is taken. containerd looks at the length of the list alone. All
// later lists have only what runs, as those of runc's shim: their readers look the pids
// up in /proc, where that of an init that has ended may be another process's.
func pidsForLoad(c *process.Container, pids []process.Pid, err error) ([]process.Pid, error) {
	if errdefs.IsNotFound(err) || len(pids) > 0 {
		return pids, err
	}
	return []process.Pid{{Pid: c.Init().Pid()}}, nil
}
