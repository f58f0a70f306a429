// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/systemd"
)

// manager is the host's systemd, with one connection for all containers of the
// shim, made when the first of them needs it.
var manager = sync.OnceValue(func() *systemd.Manager { return new(systemd.Manager) })

// place is where the spec wants the container's cgroup; scope is nil where
// systemd has no part in it.
func place(h *cgroup.Hierarchy, spec *specs.Spec, id string, o Options) (path string, scope *systemd.Scope, err error) {
	if !o.SystemdCgroup && !systemd.IsName(spec.Linux.CgroupsPath) {
		path, err = h.Path(spec.Linux.CgroupsPath, id)
		return path, nil, err
	}
	if scope, err = systemd.NewScope(spec.Linux.CgroupsPath, id, spec.Annotations); err != nil {
		return "", nil, err
	}
	return scope.Path(), scope, nil
}

// scope is what systemd knows of a container's cgroup. A nil one is that of a
// container that systemd has no part in.
type scope struct {
	unit  string
	path  string        // of its cgroup
	turn  chan struct{} // is taken by who tells systemd of limits
	told  systemd.Told  // of that one
	guard *guard
	warn  func(error) // may be nil
}

// makeScope has systemd make the cgroup. The scope begins with a placeholder in
// it, until unpark.
func (m *maker) makeScope(ctx context.Context, h *cgroup.Hierarchy, s *systemd.Scope) (err error) {
	resources := m.Spec.Linux.Resources
	if err := cgroup.Check(resources, h.Controllers); err != nil {
		return err
	}
	if resources != nil {
		s.OOMPolicy = map[string]string{"0": "continue", "1": "kill"}[strings.TrimSpace(resources.Unified[oomGroup])]
	}
	s.Empty = func(path string) bool { return unused(h, path) }
	if m.parked, err = park(); err != nil {
		return fmt.Errorf("make a placeholder for %s: %w", s.Unit, err)
	}
	if err := manager().Start(ctx, s, m.parked.child.Pid); err != nil {
		return fmt.Errorf("linux.cgroupsPath %q: %w", m.Spec.Linux.CgroupsPath, err)
	}
	path := s.Path()
	if !there(h, path) { // of some names systemd makes others, some of its releases
		if path, err = manager().Cgroup(ctx, s.Unit); err != nil {
			return errors.Join(err, stopScope(ctx, s.Unit, s.Path()))
		}
	}
	m.scope = &scope{unit: s.Unit, path: path, turn: make(chan struct{}, 1), told: systemd.Told{}, warn: m.Warn}
	if m.group, err = h.Adopt(path, resources); err != nil {
		return err
	}
	if m.scope.guard, err = newGuard(m.group); err != nil {
		return err
	}
	first, err := limits(m.group)
	m.scope.told.Note(first)
	return err
}

// there reports whether there is a cgroup at the path.
func there(h *cgroup.Hierarchy, path string) bool {
	g, err := h.Open(path)
	if err != nil {
		return false
	}
	_ = g.Close() // O_PATH
	return true
}

// unused reports whether the cgroup is not there, or has no process.
func unused(h *cgroup.Hierarchy, path string) bool {
	g, err := h.Open(path)
	if err != nil {
		return errdefs.IsNotFound(err)
	}
	defer g.Close()
	populated, err := g.Populated()
	return err == nil && !populated
}

const oomGroup = "memory.oom.group"

// name is the unit's, or "".
func (s *scope) name() string {
	if s == nil {
		return ""
	}
	return s.unit
}

// change changes the cgroup, as res says, and tells systemd of it. One change is made
// after the other.
func (s *scope) change(ctx context.Context, group *cgroup.Group, res *specs.LinuxResources, f func() error) error {
	if s == nil {
		return f()
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("change limits of %s: an earlier change has not ended: %w", s.unit, ctx.Err())
	}
	write := func() error {
		if err := f(); err != nil {
			return err
		}
		return s.tell(ctx, group)
	}
	if res == nil || res.Unified[oomGroup] == "" {
		return write()
	}
	kept, err := s.guard.change(group, write)
	warn(s.warn, kept)
	return err
}

// tell tells systemd what limits the kernel has. What systemd thereby writes
// besides, and has no property for, is written back.
func (s *scope) tell(ctx context.Context, group *cgroup.Group) error {
	all, err := limits(group)
	if err != nil {
		return err
	}
	news := s.told.News(all)
	if len(news) == 0 {
		return nil
	}
	before, err := read(group, systemd.Written())
	if err != nil {
		return err
	}
	if err := manager().Tell(ctx, s.unit, news); err != nil {
		return err
	}
	s.told.Note(news)
	after, err := read(group, systemd.Written())
	for file, text := range before {
		if now, ok := after[file]; ok && now != text {
			err = errors.Join(err, group.Write(file, text))
		}
	}
	return err
}

// limits are those of the cgroup that systemd has properties for.
func limits(group *cgroup.Group) (l systemd.Limits, err error) {
	files, err := read(group, systemd.Files())
	for _, name := range systemd.Files() {
		if text, ok := files[name]; ok {
			err = errors.Join(err, l.Add(name, text))
		}
	}
	return l, err
}

// read reads those of the files that are there.
func read(group *cgroup.Group, names []string) (map[string]string, error) {
	files := map[string]string{}
	for _, name := range names {
		switch text, err := group.Read(name); {
		case err == nil:
			files[name] = text
		case !errors.Is(err, unix.ENOENT):
			return nil, err
		}
	}
	return files, nil
}

// stop ends the guard, and is stopScope.
func (s *scope) stop(ctx context.Context) error {
	if s == nil {
		return nil
	}
	if s.guard != nil {
		s.guard.end()
	}
	return stopScope(ctx, s.unit, s.path)
}

// stopScope makes systemd forget a scope whose cgroup, at the path, was removed. A
// process in one there is a later container's, which has the name now: systemd gives
// it away as soon as the last process of the one before has ended.
func stopScope(ctx context.Context, unit, path string) error {
	if unit == "" {
		return nil
	}
	h, err := hierarchy()
	if err != nil || !unused(h, path) {
		return err
	}
	return manager().Stop(ctx, unit)
}
