// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/sys"
)

// Cleanup removes what a container's dead shim left: it kills init and every process in
// the container's cgroup, waits until they are gone, removes the cgroup, runs the
// poststop hooks and unmounts what was mounted for the container on the host. What
// is not there is no error, so it can run twice. The hooks run each time: whether
// the dead shim had come to them is not known.
//
// rec is what Create had recorded; nil says that Create did not come so far. Then
// nothing is killed, since a cgroup at the spec's path may be another
// container's: it is only removed if it is empty, which the kernel sees to, and
// no hook runs.
// spec is the bundle's config.json, or nil if that cannot be read.
func Cleanup(ctx context.Context, bundle, id string, spec *specs.Spec, rec *Record, o Options) error {
	later, err := cleanGroup(ctx, id, spec, rec, o)
	fault.Point("cleanup.group-removed")
	if rec != nil {
		err = errors.Join(err, rec.Resctrl.Remove())
	}
	if err == nil && rec != nil && spec != nil {
		err = newHooks(bundle, id, spec).poststop(ctx)
	}
	err = errors.Join(err, mount.UnmountHost(bundle))
	if rec != nil && !later {
		// Last, since systemd may not answer, and no error: an empty scope ends by itself.
		_ = stopScope(ctx, rec.Scope, rec.Cgroup)
	}
	return err
}

// cleanGroup removes the cgroup. later says that the one at its path is that of a
// later container.
func cleanGroup(ctx context.Context, id string, spec *specs.Spec, rec *Record, o Options) (later bool, err error) {
	h, err := hierarchy()
	if err != nil {
		return false, err
	}
	if rec == nil {
		return false, removeEmpty(h, id, spec, o)
	}
	killed := rec.Init.kill(ctx)
	fault.Point("cleanup.killed")
	g, err := h.Open(rec.Cgroup)
	if errdefs.IsNotFound(err) {
		return false, killed
	}
	if err != nil {
		return false, errors.Join(killed, err)
	}
	if inode, err := g.Inode(); err != nil || inode != rec.Inode {
		return true, errors.Join(killed, err, g.Close())
	}
	return false, errors.Join(killed, g.Delete(ctx))
}

// kill kills init, which may be in no cgroup that is known, and waits until it is dead:
// with its pid namespace, so with all the processes in that. A nil one is nobody.
func (i *RecordedInit) kill(ctx context.Context) error {
	if i == nil {
		return nil
	}
	pidfd, err := sys.PidfdOpen(i.Pid)
	if err != nil {
		return unlessGone(err)
	}
	defer pidfd.Close()
	// Read behind the pidfd: it is of this process, as long as that is alive.
	if stat, err := sys.ReadProcStat(i.Pid); err != nil || stat.Start != i.Start {
		return unlessGone(err)
	}
	if err := unlessGone(sys.PidfdSend(pidfd, unix.SIGKILL)); err != nil {
		return err
	}
	for sys.PidfdAlive(pidfd) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("kill init %d: %w", i.Pid, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// removeEmpty removes the cgroup that the specification names, if it is empty.
func removeEmpty(h *cgroup.Hierarchy, id string, spec *specs.Spec, o Options) error {
	if spec == nil || spec.Linux == nil {
		return nil
	}
	path, _, err := place(h, spec, id, o)
	if err != nil {
		return nil // Create refused the path for the same reason
	}
	g, err := h.Open(path)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(g.RemoveEmpty(), g.Close())
}
