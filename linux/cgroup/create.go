// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// madeMark is the extended attribute of parents that mini made, which Delete removes when
// they are empty. Those of others lack it. It outlives the shim that set it.
const madeMark = "trusted.containerd-mini.made"

// mkdirRaces bounds how often Create starts over because somebody removed an
// empty parent between its steps.
const mkdirRaces = 16

// Create makes the cgroup at a path that Hierarchy.Path gave, with the parents
// it needs, and enables controllers on the way down: those that res needs, and
// on a unified host all others too as far as they can be, since stats and OOM
// events come from them. It first refuses what Check refuses. Nothing is
// limited until Apply.
//
// Create uses a cgroup that exists already if it is empty. It returns
// ErrFailedPrecondition if that has processes, is frozen or is not a domain. On error it
// removes what it made.
func (h *Hierarchy) Create(path string, res *specs.LinuxResources) (_ *Group, err error) {
	must, err := need(res, h.Controllers)
	if err != nil {
		return nil, err
	}
	dir, made, err := h.mkdir(path)
	if err != nil {
		return nil, errors.Join(err, h.removeParents(path[:strings.LastIndexByte(path, '/')]))
	}
	g := &Group{h: h, path: path, dir: dir}
	defer func() {
		if err == nil {
			return
		}
		if made {
			err = errors.Join(err, g.remove())
		}
		err = errors.Join(err, g.Close())
	}()
	if err := g.fit(); err != nil {
		return nil, err
	}
	if !made {
		if err := g.adoptExisting(); err != nil {
			return nil, err
		}
	}
	if err := g.enable(must); err != nil {
		return nil, err
	}
	return g, nil
}

// Adopt opens a cgroup that somebody else made for the container, with a process in it,
// and removes when it is empty. It enables controllers as Create does. ErrNotFound: the
// cgroup does not exist. On error it stays as it is.
func (h *Hierarchy) Adopt(path string, res *specs.LinuxResources) (*Group, error) {
	must, err := need(res, h.Controllers)
	if err != nil {
		return nil, err
	}
	g, err := h.Open(path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(g.enable(must), g.openAbove()); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// Open opens an existing cgroup, for a clean-up after the shim that made it.
// ErrNotFound: the cgroup does not exist.
func (h *Hierarchy) Open(path string) (*Group, error) {
	dir, err := openDir(h.dir, strings.TrimPrefix(path, "/"))
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("cgroup %s: %w", path, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return &Group{h: h, path: path, dir: dir}, nil
}

// mkdir makes and opens the directory. made is false if it existed.
func (h *Hierarchy) mkdir(path string) (dir *os.File, made bool, err error) {
	name := strings.TrimPrefix(path, "/")
	for range mkdirRaces {
		err = mkdirat(h.dir, name)
		if errors.Is(err, unix.ENOENT) {
			err = h.mkdirParents(name)
			if err == nil {
				err = mkdirat(h.dir, name)
			}
		}
		if made = err == nil; made || errors.Is(err, unix.EEXIST) {
			dir, err = openDir(h.dir, name)
		}
		if err != nil && made && !errors.Is(err, unix.ENOENT) {
			err = errors.Join(err, rmdir(h.dir, name))
		}
		if !errors.Is(err, unix.ENOENT) {
			return dir, made, err
		}
	}
	return nil, false, err
}

// mkdirParents makes the directories above name that are missing, and marks
// them.
func (h *Hierarchy) mkdirParents(name string) error {
	for i, c := range name {
		if c != '/' {
			continue
		}
		if err := mkdirat(h.dir, name[:i]); errors.Is(err, unix.EEXIST) {
			continue
		} else if err != nil {
			return err
		}
		if err := mark(h.dir, name[:i]); err != nil {
			return err
		}
	}
	return nil
}

// mark sets madeMark. Without CAP_SYS_ADMIN there are no such marks, and the parent stays
// for good.
func mark(base *os.File, name string) error {
	f, err := open(base, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fsetxattr(int(f.Fd()), madeMark, []byte("1"), 0); err != nil && !errors.Is(err, unix.EPERM) {
		return &os.PathError{Op: "fsetxattr", Path: f.Name(), Err: err}
	}
	return nil
}

// fit refuses a group that no container may start in.
func (g *Group) fit() error {
	data, err := readFile(g.dir, "cgroup.events")
	if err != nil {
		return err
	}
	text := string(data)
	refuse := func(why string) error {
		return fmt.Errorf("cgroup %s: %s: %w", g.path, why, errdefs.ErrFailedPrecondition)
	}
	switch {
	case flatKey(text, "populated") == 1:
		return refuse("it has processes of somebody else in it")
	case flatKey(text, "frozen") == 1:
		return refuse("it is frozen, or one above it is")
	}
	kind, err := readFile(g.dir, "cgroup.type")
	if err != nil {
		return err
	}
	if t := strings.TrimSpace(string(kind)); t != "domain" {
		return refuse("its type is " + t + ", since a group above it is threaded")
	}
	return nil
}

// adoptExisting checks what a reused group carries over.
func (g *Group) adoptExisting() (err error) {
	data, err := readFile(g.dir, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	for _, c := range parseControllers(string(data)) {
		if !slices.Contains(threaded, c) {
			return fmt.Errorf("cgroup %s: it gives controller %s to groups below it, so it takes no process: %w",
				g.path, c, errdefs.ErrFailedPrecondition)
		}
	}
	if g.earlier, err = oomKills(g.dir); errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return err
}

// threaded lists the controllers that a group with processes can give to groups below it
// (cgroup-v2.rst, "Threads").
var threaded = []string{"cpu", "cpuset", "perf_event", "pids"}

// enable makes controllers available in the group. It is an error if one in must is not.
func (g *Group) enable(must Controllers) error {
	want := must
	if g.h.Unified {
		want = g.h.Controllers
	}
	if len(want) == 0 {
		return nil
	}
	have, err := g.controllers()
	if err != nil {
		return err
	}
	lacks := func(c string) bool { return !have.has(c) }
	if !slices.ContainsFunc(want, lacks) {
		return nil
	}
	if err := g.h.enable(g.path, want, must); err != nil {
		return err
	}
	if have, err = g.controllers(); err != nil {
		return err
	}
	if i := slices.IndexFunc(must, lacks); i >= 0 {
		return fmt.Errorf("enable controller %s in cgroup %s: a group above %s does not let it through: %w",
			must[i], g.path, path.Base(g.path), errdefs.ErrFailedPrecondition)
	}
	return nil
}
