// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux"
	"github.com/containerd-mini/mini/linux/fault"
)

// Config says what New is to make.
type Config struct {
	ID        string
	Namespace string        // containerd's, told to binary loggers
	Bundle    string        // absolute path
	Rootfs    []specs.Mount // in order, Destination relative to the rootfs
	Stdio
	Options Options
	Restore *Restore // to make it of a checkpoint, or nil
	Notify  Notify
}

// Options are what of containerd.runc.v1.Options concerns a container.
type Options struct {
	NoPivotRoot   bool
	NoNewKeyring  bool
	SystemdCgroup bool
	IoUID         uint32 // owner of the process's fifos and pipes
	IoGID         uint32
}

func (o *Options) linux() linux.Options {
	return linux.Options{NoPivotRoot: o.NoPivotRoot, NoNewKeyring: o.NoNewKeyring, SystemdCgroup: o.SystemdCgroup}
}

// New creates a container up to its gate: config.json is read, the streams are
// opened, init waits for Start; or, with Restore, all but init is there. On an error nothing is left of it.
// ErrInvalidArgument and ErrNotFound: the request or the bundle is at fault.
func New(ctx context.Context, cfg *Config) (_ *Container, err error) {
	if err := checkID(cfg.ID); err != nil {
		return nil, err
	}
	b, err := openBundle(cfg.Bundle)
	if err != nil {
		return nil, err
	}
	spec, err := b.spec()
	if err != nil {
		return nil, err
	}
	if err := checkSpec(spec, cfg.Terminal); err != nil {
		return nil, fmt.Errorf("create container %s: %w: %w", cfg.ID, err, errdefs.ErrInvalidArgument)
	}
	c := &Container{
		id: cfg.ID, namespace: cfg.Namespace, bundle: b, notify: cfg.Notify,
		uid: int(cfg.Options.IoUID), gid: int(cfg.Options.IoGID), byID: map[string]*Process{},
	}
	c.init = newProcess(c, cfg.ID, cfg.Stdio)
	if err := c.create(ctx, cfg, spec); err != nil {
		return nil, err
	}
	c.oom = oomWatch{linux: c.linux, log: c.init.log(), announce: c.notify.OOM}
	c.oom.start()
	if cfg.Restore == nil {
		go c.init.watch()
	}
	return c, nil
}

// create makes init with all that it needs, and undoes it on an error.
func (c *Container) create(ctx context.Context, cfg *Config, spec *specs.Spec) (err error) {
	undo := undoStack{}
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()
	undo.push(func() error { return c.bundle.remove(pidFile, recordFile) })
	if len(cfg.Rootfs) > 0 {
		made, err := c.bundle.makeRootfs()
		if err != nil {
			return coded(fmt.Errorf("create container %s: %w", c.id, err))
		}
		if made {
			undo.push(func() error { return c.bundle.remove("rootfs") })
		}
	}
	s, err := openStreams(ctx, &streamsConfig{
		Stdio: cfg.Stdio, ID: c.id, Namespace: c.namespace, UID: c.uid, GID: c.gid,
	})
	if err != nil {
		return err
	}
	undo.push(s.abort)
	options := cfg.Options.linux()
	config := &linux.Config{
		ID: c.id, Bundle: string(c.bundle), Spec: spec, Rootfs: cfg.Rootfs, Stdio: s.child, Options: options,
		Warn: func(err error) { c.init.log().Warn(err) },
		Record: func(r linux.Record) error {
			err := coded(c.bundle.writeRecord(record{Linux: r, Options: options}))
			fault.Point("create.recorded")
			return err
		},
	}
	if cfg.Restore != nil {
		return c.prepare(ctx, config, cfg.Restore, s)
	}
	if c.linux, err = linux.Create(ctx, config); err != nil {
		return err
	}
	proc := c.linux.Init()
	if err := c.bundle.writePid(proc.Pid()); err != nil {
		undo.push(func() error { return c.destroy(proc) })
		return coded(fmt.Errorf("create container %s: %w", c.id, err))
	}
	fault.Point("create.made")
	s.started(proc.Console())
	c.init.proc, c.init.streams = proc, s
	return nil
}

// destroy takes a created container back.
func (c *Container) destroy(init *linux.Process) error {
	err := c.linux.Kill()
	_, werr := init.Wait()
	return errors.Join(err, werr, c.linux.Destroy(context.Background()), init.Close())
}

// undoStack lists what a failing constructor undoes, the last first.
type undoStack []func() error

func (u *undoStack) push(f func() error) { *u = append(*u, f) }

func (u *undoStack) run() error {
	var errs []error
	for i := len(*u) - 1; i >= 0; i-- {
		errs = append(errs, (*u)[i]())
	}
	return errors.Join(errs...)
}

// checkSpec refuses what cannot be a container of a shim. What linux cannot
// honour, it refuses itself.
func checkSpec(s *specs.Spec, terminal bool) error {
	switch {
	case s.Process == nil:
		return errors.New("config.json: process: missing")
	case s.Root == nil:
		return errors.New("config.json: root: missing")
	case s.Process.Terminal != terminal:
		return fmt.Errorf("config.json: process.terminal is %t, the request's terminal is %t", s.Process.Terminal, terminal)
	}
	return nil
}

// idChars are the characters of an id beside letters and digits; it may not
// begin with a dot. As in runc: the id becomes a cgroup's name.
const idChars = "_+-."

func checkID(id string) error {
	for i, r := range id {
		alnum := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !alnum && (!strings.ContainsRune(idChars, r) || i == 0 && r == '.') {
			return fmt.Errorf("container id %q: %q at %d is not allowed: %w", id, r, i, errdefs.ErrInvalidArgument)
		}
	}
	if id == "" || len(id) > maxID {
		return fmt.Errorf("container id %q: must have 1 to %d characters: %w", id, maxID, errdefs.ErrInvalidArgument)
	}
	return nil
}

// maxID is NAME_MAX: the id is one path element.
const maxID = 255
