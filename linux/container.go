// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/resctrl"
	"github.com/containerd-mini/mini/linux/seccomp"
)

// Options are the switches of containerd's runtime options that change how a
// container is made (containerd.runc.v1.Options).
type Options struct {
	NoPivotRoot   bool // MS_MOVE and chroot instead of pivot_root(2), for a root on initramfs
	NoNewKeyring  bool // keep the shim's session keyring
	SystemdCgroup bool // cgroupsPath is slice:prefix:name
}

// Config says what Create is to make.
type Config struct {
	ID     string
	Bundle string        // absolute path
	Spec   *specs.Spec   // config.json, read once by the caller; not changed here
	Rootfs []specs.Mount // the request's rootfs mounts in order, Destination relative to the rootfs; none: root.path as it is
	// Stdio is stdin, stdout and stderr of init; nil is /dev/null. The caller
	// keeps ownership. Ignored when the process has a terminal.
	Stdio   [3]*os.File
	Options Options
	// Record is called after the cgroup was made and before the first process
	// exists, and again when init is there and waits for Start; for a container to be
	// restored, when it is restored. What it is given must be on disk when it returns:
	// it is what Cleanup needs after the shim's death. An error ends the call.
	Record func(Record) error
	// Warn is told what went wrong and is no error of any call: a poststop hook
	// that failed, a capability that was not granted. It may be nil.
	Warn func(error)

	resctrlRoot string // instead of the host's, in tests
}

// Record is what a clean-up needs to know when the shim is gone.
type Record struct {
	Cgroup string `json:"cgroup"` // path below the cgroup2 mount
	Inode  uint64 `json:"inode"`  // of the cgroup's directory: never used again, unlike the path
	// Scope is systemd's unit for the cgroup; "" where systemd has no part in it.
	Scope string `json:"scope,omitempty"`

	Resctrl *resctrl.Group `json:"resctrl,omitempty"` // directories to remove
	Init    *RecordedInit  `json:"init,omitempty"`    // nil until there is one
}

// RecordedInit is a process that Cleanup has no pidfd of.
type RecordedInit struct {
	Pid   int    `json:"pid"`   // as the shim sees it
	Start uint64 `json:"start"` // sys.ProcStat.Start: a later process with the pid has another
}

// Container is one container: its init process, its cgroup and what was mounted
// for it on the host. Its methods can be called at any time from any goroutine.
type Container struct {
	// read only after Create; init and joins, in a restored container, after Start
	id      string
	bundle  string
	spec    *specs.Spec
	options Options
	init    *Process
	streams [3]stream // that init was given; unused with a terminal
	group   *cgroup.Group
	scope   *scope     // nil: systemd has no part in it
	mounts  *mount.Set // what is mounted on the host, undone by Destroy
	joins   int        // CLONE_NEW* flags of the namespaces that an exec enters
	hooks   *hooks
	resctrl *resctrl.Group  // or nil
	filter  *seccomp.Filter // of init and execs; nil: none
	warn    func(error)     // may be nil

	mu   sync.Mutex
	gate starter // guarded by mu; nil once Start was called
	dead bool    // guarded by mu; nothing runs any more, poststop hooks were run
	gone bool    // guarded by mu; Destroy has finished
}

// starter is what a container waits at for Start.
type starter interface {
	open(context.Context) error
	close()
}

// Init is the container's first process; nil in a restored container until Start
// has returned.
func (c *Container) Init() *Process { return c.init }

// PrivatePIDs reports whether the container has a pid namespace of its own, in
// which the kernel kills every process when init ends (pid_namespaces(7)).
func (c *Container) PrivatePIDs() bool { return newNamespace(c.spec, specs.PIDNamespace) }

// Start runs the startContainer hooks, lets the created init go on to execve and
// runs the poststart hooks; or it restores the container from its checkpoint. It
// returns when the container's program runs, or with the reason why it does not;
// the container is killed then. The end of ctx ends a hook and a restore.
// ErrFailedPrecondition: Start was called before.
func (c *Container) Start(ctx context.Context) error {
	c.mu.Lock()
	g := c.gate
	c.gate = nil
	c.mu.Unlock()
	if g == nil {
		return fmt.Errorf("start container %s: already started: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	defer g.close()
	if err := c.begin(ctx, g); err != nil {
		return errors.Join(err, c.Kill())
	}
	return nil
}

func (c *Container) begin(ctx context.Context, g starter) error {
	if c.init == nil { // to be restored: it has been through its start hooks, as in runc
		return g.open(ctx)
	}
	if err := c.startHooks(ctx); err != nil {
		return err
	}
	if err := g.open(ctx); err != nil {
		return err
	}
	return c.hooks.run(ctx, hookPoststart, specs.StateRunning, c.init.pid, hookOnHost(c.hooks.state.Bundle))
}

// setDead says whether poststop hooks are due.
func (c *Container) setDead(dead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = dead
}

// Pause freezes every process and returns when they stand still, or ctx ends:
// then they are thawed again.
func (c *Container) Pause(ctx context.Context) error { return c.removed(c.group.Freeze(ctx)) }

// Resume undoes Pause.
func (c *Container) Resume(ctx context.Context) error { return c.removed(c.group.Thaw(ctx)) }

// WaitEmpty waits until no process of the container is left, or ctx ends. Zombies
// do not count.
func (c *Container) WaitEmpty(ctx context.Context) error { return c.group.WaitEmpty(ctx) }

// Update changes the resources that res names and leaves the others alone.
func (c *Container) Update(ctx context.Context, res *specs.LinuxResources) error {
	return c.scope.change(ctx, c.group, res, func() error { return c.group.Update(res) })
}

// Stats are the cgroup's figures now.
func (c *Container) Stats() (*stats.Metrics, error) { return c.group.Stats() }

// OOMKills is how many processes of the container the kernel's OOM killer has
// ended; 0 where the memory controller is absent. Where sure is false, they may be
// another container's.
func (c *Container) OOMKills() (kills uint64, sure bool, err error) { return c.group.OOMKills() }

// WatchOOM calls f from one goroutine each time memory.events changes. stop
// returns when no further call will come.
func (c *Container) WatchOOM(f func()) (stop func(), err error) { return c.group.WatchOOM(f) }

// Destroy kills what is left of the container, removes its cgroup, runs the
// poststop hooks and unmounts what was mounted for the container on the host. It
// goes on after an error and can be called again.
func (c *Container) Destroy(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil
	}
	if c.gate != nil {
		c.gate.close()
		c.gate = nil
	}
	_, err := signalled(c.init, syscall.SIGKILL)
	err = errors.Join(err, c.group.Delete(ctx))
	if err == nil {
		warn(c.warn, c.scope.stop(ctx)) // it ends by itself when systemd sees that it is empty
	}
	if err == nil && !c.dead {
		warn(c.warn, c.hooks.poststop(ctx))
		c.dead = true
	}
	err = errors.Join(err, c.resctrl.Remove(), c.mounts.Undo(), c.mounts.Close())
	c.gone = err == nil
	return err
}
