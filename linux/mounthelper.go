// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mountHelper runs programs that mount a part of the rootfs (mount.Config.Helper) as
// hooks on the host are run: with the shim's environment, in its cgroup and namespaces,
// with no descriptor but three pipes, in a process group that is killed at the end of
// ctx. A server of the file system that one leaves behind is not waited for; it ends
// when its file system is unmounted, and the shim reaps it.
func mountHelper(ctx context.Context, bundle string) func(program string, args []string) error {
	return func(program string, args []string) error {
		own.expectOrphans()
		hook := specs.Hook{Path: program, Args: append([]string{program}, args...)}
		return onHost(func() error { return runHook(ctx, &hook, nil, hookOnHost(bundle)) })
	}
}
