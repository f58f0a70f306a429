// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux"
	"github.com/containerd-mini/mini/linux/fault"
)

// Container is one container: its init process and its execs by id. It is
// released by Delete of its init.
type Container struct {
	id        string
	namespace string
	bundle    bundle
	uid, gid  int // owner of fifos and pipes (IoUid, IoGid)
	notify    Notify
	linux     *linux.Container
	init      *Process
	oom       oomWatch

	mu   sync.Mutex
	byID map[string]*Process // guarded by mu; execs
}

// Notify is told what happens to a container. Its functions are called from
// any goroutine, must not block and must not call back into the container.
type Notify struct {
	// Added is called with an exec before the exec can be found.
	Added func(*Process)
	// Exited is called once for each process that ran, before the process can be
	// seen to have stopped: with init last, and with the exit record written.
	Exited func(*Process, Exit)
	// Late is called with an exec that Exited of init does not wait for any longer: it
	// does not die, or its start does not end. Its own Exited may still come.
	Late func(*Process)
	// OOM is called for each burst of OOM kills, before Exited of what it killed.
	OOM func()
}

// Pid is one process of a container; ExecID is set for an exec itself, not for
// its children.
type Pid struct {
	Pid    int
	ExecID string
}

// Bundle returns the absolute path of the container's bundle.
func (c *Container) Bundle() string { return string(c.bundle) }

// Init returns the container's first process.
func (c *Container) Init() *Process { return c.init }

// Process returns the exec with that id, or init for "". ErrNotFound: no such exec.
func (c *Container) Process(execID string) (*Process, error) {
	if execID == "" {
		return c.init, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.byID[execID]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("exec %s of container %s: no such process: %w", execID, c.id, errdefs.ErrNotFound)
}

// ExecConfig describes an exec.
type ExecConfig struct {
	ID   string
	Spec []byte // an OCI process as JSON; its terminal is Stdio's
	Stdio
}

// Exec adds a process that Start will run. ErrAlreadyExists: the id is in use.
// ErrFailedPrecondition: the container is paused or has ended.
func (c *Container) Exec(e *ExecConfig) (*Process, error) {
	if e.ID == "" {
		return nil, fmt.Errorf("exec in container %s: no exec id: %w", c.id, errdefs.ErrInvalidArgument)
	}
	p := newProcess(c, e.ID, e.Stdio)
	spec, err := execSpec(e)
	if err != nil {
		// The id comes first, as in runc's shim: a taken one is the better answer.
		if _, known := c.Process(e.ID); known == nil {
			return nil, c.taken(e.ID)
		}
		return nil, fmt.Errorf("exec %s in container %s: %w: %w", e.ID, c.id, err, errdefs.ErrInvalidArgument)
	}
	p.spec = spec

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[e.ID] != nil || e.ID == c.id { // events tell init by the container's id
		return nil, c.taken(e.ID)
	}
	if err := c.init.may(opExec); err != nil {
		return nil, err
	}
	c.notify.Added(p)
	c.byID[e.ID] = p
	return p, nil
}

func execSpec(e *ExecConfig) (*specs.Process, error) {
	var s specs.Process
	if err := json.Unmarshal(e.Spec, &s); err != nil {
		return nil, fmt.Errorf("parse process spec: %w", err)
	}
	s.Terminal = e.Terminal
	return &s, nil
}

func (c *Container) taken(execID string) error {
	return fmt.Errorf("exec %s in container %s: id is in use: %w", execID, c.id, errdefs.ErrAlreadyExists)
}

// Pids lists every process of the container.
func (c *Container) Pids() ([]Pid, error) {
	if err := c.init.may(opPids); err != nil {
		return nil, err
	}
	pids, err := c.linux.Pids()
	if err != nil {
		return nil, err
	}
	execs := map[int]string{}
	for _, p := range c.processes() {
		execs[p.Pid()] = p.id
	}
	list := make([]Pid, 0, len(pids))
	for _, pid := range pids {
		list = append(list, Pid{Pid: pid, ExecID: execs[pid]})
	}
	return list, nil
}

// Pause freezes every process of the container.
func (c *Container) Pause(ctx context.Context) error {
	return c.init.claim(opPause, opPaused, opPauseFailed, func() error {
		fault.Point("pause.claimed")
		defer fault.Point("pause.frozen")
		return c.linux.Pause(ctx)
	})
}

// Resume thaws the container.
func (c *Container) Resume(ctx context.Context) error {
	return c.init.claim(opResume, opResumed, opResumeFailed, func() error {
		fault.Point("resume.claimed")
		defer fault.Point("resume.thawed")
		return c.linux.Resume(ctx)
	})
}

// Update changes the container's resources; spec is an OCI LinuxResources as
// JSON.
func (c *Container) Update(ctx context.Context, spec []byte) error {
	if err := c.init.may(opUpdate); err != nil {
		return err
	}
	var r specs.LinuxResources
	if err := json.Unmarshal(spec, &r); err != nil {
		return fmt.Errorf("update container %s: parse resources: %w: %w", c.id, err, errdefs.ErrInvalidArgument)
	}
	fault.Point("update.parsed")
	defer fault.Point("update.made")
	return c.linux.Update(ctx, &r)
}

// Stats reads the container's cgroup.
func (c *Container) Stats() (*stats.Metrics, error) {
	if err := c.init.may(opPids); err != nil {
		return nil, err
	}
	return c.linux.Stats()
}

// Close ends the container, whatever it is doing, and releases everything:
// killed, announced, destroyed. ctx bounds the wait for what will not die.
func (c *Container) Close(ctx context.Context) error {
	if err := c.linux.Kill(); err != nil {
		c.init.log().WithError(err).Error("kill container")
	}
	if err := c.ended(ctx); err != nil {
		return fmt.Errorf("close container %s: %w", c.id, err)
	}
	_, err := c.init.Delete(ctx)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	return err
}

// ended waits for the end of init, if there is one.
func (c *Container) ended(ctx context.Context) error {
	runs, err := c.init.settled(ctx)
	if err == nil && runs {
		_, err = c.init.Wait(ctx)
	}
	return err
}

// processes are the container's execs.
func (c *Container) processes() []*Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*Process, 0, len(c.byID))
	for _, p := range c.byID {
		list = append(list, p)
	}
	return list
}

// forget takes a deleted exec's id back.
func (c *Container) forget(p *Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[p.id] == p {
		delete(c.byID, p.id)
	}
}
