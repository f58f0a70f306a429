// SPDX-License-Identifier: Apache-2.0

// GOMAXPROCS is given to us: the runtime need not read the cgroup's CPU limit for
// it, three times for a container, nor keep its files open.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/bootstrap"
	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/daemon"
	_ "github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/early" // start and delete
	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/launch"
	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/task"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", launch.Name, err)
		os.Exit(1)
	}
}

// run does what package early left: everything but `start`, and but `delete` of
// a container that was deleted.
func run(args []string) error {
	f, err := launch.Parse(args)
	switch {
	case err != nil:
		return err
	case f.Version:
		return printVersion(os.Stdout)
	case f.Info:
		return printInfo(os.Stdin, os.Stdout)
	case f.Namespace == "":
		return errors.New("flag -namespace: no namespace given")
	case f.Action == "delete":
		return clean(f)
	case f.Action == "":
		return serve(f)
	}
	return fmt.Errorf("action %q: not start, delete or none", f.Action)
}

// clean is the verb `delete` after the shim's death. What could not be cleaned
// up is a warning in containerd's log; that the container goes from its task
// list is not held up by it.
func clean(f *launch.Flags) error {
	bundle, err := f.BundleDir()
	if err != nil {
		return err
	}
	e, err := task.Cleanup(bundle, f.ID)
	if err = errors.Join(err, launch.RemoveSocket(bundle)); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", launch.Name, err)
	}
	fault.Point("cleanup.socket-removed")
	exit := bootstrap.Exit{Pid: uint32(e.Pid), Status: e.Code, At: e.At}
	_, err = os.Stdout.Write(exit.Encode())
	return err
}

func serve(f *launch.Flags) error {
	events := os.Getenv("TTRPC_ADDRESS")
	if events == "" {
		events = os.Getenv("GRPC_ADDRESS") + ".ttrpc"
	}
	return daemon.Run(&daemon.Config{
		Name: "containerd-shim", Namespace: f.Namespace, TTRPCAddress: events,
		Socket: f.Socket, DebugSocket: f.DebugSocket, Debug: f.Debug,
		Serve: func(p *daemon.Publisher, shutdown func()) daemon.Service {
			return task.New(task.Config{Namespace: f.Namespace, Publisher: p, Shutdown: shutdown})
		},
		Intercept: task.Interceptor,
	})
}
