// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/sys"
)

// startHooks runs the startContainer hooks while init waits at the gate. They are
// what an exec is: processes of the container with the rights, user and limits of
// the container's own, each in a cgroup below the container's.
func (c *Container) startHooks(ctx context.Context) error {
	if !c.hooks.has(hookStartContainer) {
		return nil
	}
	fault.Point("starthooks.begin")
	pid, err := innerPid(c.init.pid)
	if err != nil {
		return err
	}
	return c.hooks.run(ctx, hookStartContainer, specs.StateCreated, pid, c.startHook)
}

// startHook starts one. Without an environment of its own it has the container
// process's, as in runc.
func (c *Container) startHook(ctx context.Context, h *specs.Hook, stdio [3]*os.File) (hookProcess, error) {
	proc := *c.spec.Process
	proc.Terminal = false
	proc.Args = hookArgs(h)
	x := &execer{c: c, config: &ExecConfig{Process: &proc, Stdio: stdio}, file: h.Path}
	if len(h.Env) > 0 {
		proc.Env, x.exact = h.Env, true
	}
	p, err := x.run(ctx)
	if err != nil {
		return nil, err
	}
	return execHook{p}, nil
}

// execHook is a hook that is an exec.
type execHook struct{ p *Process }

func (h execHook) wait() (sys.Exit, error) { return sys.PidfdEnded(h.p.pidfd) }
func (h execHook) killTree() error         { return h.p.KillTree() }

func (h execHook) close() error {
	_, err := h.p.Wait()
	return errors.Join(err, h.p.Close())
}
