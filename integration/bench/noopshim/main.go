// SPDX-License-Identifier: Apache-2.0

// Noopshim is a shim that makes no container: it answers each call at once
// and publishes the events of a process that exits as soon as it was started.
// What a cycle takes with it is containerd's own share, and that of starting
// a shim which is built as containerd's own are.
package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

const name = "io.containerd.noop.v2"

func main() {
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			publisher, err := ic.GetByID(plugins.EventPlugin, "publisher")
			if err != nil {
				return nil, err
			}
			stop, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			return &service{publisher: publisher.(shim.Publisher), stop: stop.(shutdown.Service)}, nil
		},
	})
	shim.RunShim(context.Background(), noop{manager.NewShimManager(name)})
}

// noop starts a daemon as the shim of runc does; it has nothing to clean up.
type noop struct{ shim.Shim }

func (noop) Stop(context.Context, string) (shim.StopStatus, error) {
	return shim.StopStatus{ExitedAt: time.Now(), Pid: os.Getpid()}, nil
}

func (noop) Info(context.Context, io.Reader) (*types.RuntimeInfo, error) {
	return &types.RuntimeInfo{Name: name}, nil
}
