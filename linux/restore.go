// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd-mini/mini/linux/criu"
	"github.com/containerd-mini/mini/linux/fault"
)

// RestoreConfig says what Restore is to restore from.
type RestoreConfig struct {
	Images string // directory of the images
	Work   string // directory for criu's log, made if it is missing; "": one in the bundle, for the time being
	// Chained allows the images to add to those of an earlier checkpoint, in the
	// directory beside them that their `parent` link names.
	Chained bool
}

// Restore makes a container of a checkpoint, up to its processes, which Start
// makes: until then there are none, and Init is nil. The files of c.Stdio take the
// place of the streams that the checkpointed container had, and must stay open
// until Start has returned. Errors are those of Create; ErrInvalidArgument and
// ErrNotFound also where the directory is not one of images.
func Restore(ctx context.Context, c *Config, r *RestoreConfig) (_ *Container, err error) {
	if err := errors.Join(validate(c), checkRights()); err != nil {
		return nil, err
	}
	conf, err := findCriu(ctx)
	if err != nil {
		return nil, err
	}
	images, err := openCheckpoint(r)
	if err != nil {
		return nil, err
	}
	m := &maker{Config: c, hooks: newHooks(c.Bundle, c.ID, c.Spec)}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.undo(context.WithoutCancel(ctx)))
			images.close()
		}
		closeAll(m.tasks) // criu is told of the groups when it runs
	}()
	if m.ns, err = openNamespaces(c.Spec); err != nil {
		return nil, err
	}
	defer m.ns.close()
	if err := m.ns.checkTracers(); err != nil {
		return nil, err
	}
	for _, step := range []func() error{m.compileFilter, func() error { return m.makeGroup(ctx) }, func() error { return m.prepareMounts(ctx) }} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	container := m.made()
	container.gate = &restorer{maker: m, work: r.Work, c: container, criu: conf, images: images}
	container.dead = true // for the poststop hooks: until Start, nothing has been alive
	return container, nil
}

// openCheckpoint opens a directory of images and looks at all that is in it.
func openCheckpoint(r *RestoreConfig) (*imageDir, error) {
	d, err := openImages(r.Images, false)
	if err != nil {
		return nil, err
	}
	err = d.checkSource(r.Chained)
	if err == nil && r.Chained {
		err = d.checkChain()
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// restorer is what a container to be restored waits at for Start. It owns images
// and what Start opens.
type restorer struct {
	*maker // of which nothing is left but what Stage needs of it
	c      *Container
	criu   *criu.Config
	images *imageDir
	work   string

	inherit []criu.Inherit
	stdio   [3]stream // what init's streams will be
	worker  *criu.Worker
	ctx     context.Context // of Start, for hooks

	// of init, while it is being made
	pid   int
	pidfd *os.File
}

// open restores the container: init is a child of the shim.
func (r *restorer) open(ctx context.Context) error {
	err := own.adopt(func() error { return r.restore(ctx) })
	err = errors.Join(err, r.unpark())
	if err != nil {
		return fmt.Errorf("restore container %s: %w", r.ID, err)
	}
	return nil
}

func (r *restorer) restore(ctx context.Context) (err error) {
	r.ctx = ctx
	r.c.setDead(false)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.undo())
		}
	}()
	if r.ns, err = openNamespaces(r.Spec); err != nil {
		return err
	}
	defer r.ns.close()
	if err := r.ns.checkTracers(); err != nil {
		return err
	}
	work, err := openWork(r.work, r.Bundle)
	if err != nil {
		return err
	}
	defer work.close()
	o, err := r.options()
	if err != nil {
		return err
	}
	if err := giveStreams(r.Stdio, r.Spec); err != nil {
		return err
	}
	if err := r.start(work); err != nil {
		return err
	}
	o.Work = work.file
	fault.Point("restore.started")
	if _, err := r.worker.Do(ctx, criu.Restore, o, r.notified); err != nil {
		return work.explain(err, restoreLog, r.keptLog())
	}
	fault.Point("restore.made")
	return r.take()
}

// take makes the restored process the container's init.
func (r *restorer) take() (err error) {
	if err := r.checkTerminal(); err != nil {
		return err
	}
	r.c.streams = r.stdio
	if err := writeOOMScore(r.pid, r.Spec.Process); err != nil {
		return err
	}
	if err := r.recordProcess(r.pid); err != nil {
		return err
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.init = &Process{pid: r.pid, pidfd: r.pidfd, console: r.console}
	return nil
}

// close gives up what Start has not used.
func (r *restorer) close() {
	r.images.close()
	_ = r.unpark() // it was killed, whatever else went wrong
}
