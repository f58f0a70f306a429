// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Begin does what needs no superblock of the child: propagation of the host's mounts,
// the sources of the binds, the rootfs. The child can make its superblocks meanwhile.
//
// Precondition, for this and all that follow: the calling thread is locked and
// poisoned. It has unshared CLONE_FS and entered the container's mount namespace,
// whose root is still the host's, and its network, IPC and cgroup namespaces.
func (s *Set) Begin() (err error) {
	unix.Umask(0) // the thread's own since CLONE_FS was unshared
	if err := s.plan.propagation.setHost(s.plan.roots()...); err != nil {
		return err
	}
	findInside(s.plan.entries, s.plan.root, s.plan.rootfsDir)
	if err := s.openSources(); err != nil {
		return err
	}
	if err := s.openRoot(); err != nil {
		return err
	}
	if s.root.stat, err = sys.Stat(s.root.fd); err != nil {
		return err
	}
	if !s.c.UserNS {
		return nil
	}
	// What belongs to the user namespace has no place for the ids of the host's
	// root (EOVERFLOW), and what the container finds should be its root's.
	return sys.SetFSIDs(s.c.RootUID, s.c.RootGID)
}

// openAhead bounds the sources that are open at the same time: a specification may have
// more binds than the shim may have files open.
const openAhead = 256

// openSources clones the sources of binds while the container's mount namespace is
// nothing but a copy of the host's. A host path cannot lead into anything that an image
// holds then. openSources does so here and not in the host's namespace, because the copy
// has the right propagation by now, and in a user namespace the kernel has locked the
// flags and submounts that the container may not undo (mount_namespaces(7)).
//
// Mount clones the sources inside the root, and those behind the first openAhead. By
// then a path could lead elsewhere through a root, but the paths that do are known
// (findInside).
func (s *Set) openSources() (err error) {
	ahead := 0
	for _, e := range s.plan.entries {
		if e.maker != makeBind || e.inRoot {
			continue
		}
		if ahead++; ahead > openAhead {
			break
		}
		if e.fd, err = cloneBind(e.source, &e.options, e.idmap, &s.ns); err != nil {
			return wrap(e.fstype, e.dest, err)
		}
	}
	if l := s.c.Spec.Linux; l != nil && len(l.MaskedPaths) > 0 {
		if s.nullFD, err = openNull(); err != nil {
			return fmt.Errorf("mask paths: %w", err)
		}
	}
	return nil
}

// openRoot mounts the root, makes it a mount point that nothing propagates to
// from above, and opens it.
func (s *Set) openRoot() (err error) {
	at := s.plan.root
	if len(s.plan.rootfs) > 0 && !s.plan.onHost {
		if err := s.rootfs().mount(); err != nil {
			return err
		}
		if path.Clean(at) == path.Clean(s.plan.rootfsDir) {
			s.root.fd, err = sys.OpenAt(unix.AT_FDCWD, at, unix.O_PATH|unix.O_DIRECTORY)
			return err
		}
	}
	target, err := sys.OpenAt(unix.AT_FDCWD, at, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer sys.Close(target)
	tree, err := sys.CloneTree(target, "", true)
	if err != nil {
		return err
	}
	if err := s.plan.propagation.ofRoot().set(tree); err != nil {
		sys.Close(tree)
		return err
	}
	if err := sys.MoveMount(tree, target); err != nil {
		sys.Close(tree)
		return wrap("bind", at, err)
	}
	s.root.fd = tree
	return nil
}

// Mount makes the spec's mounts in their order, then device nodes, the links of
// /dev, and the working directory of the container's process. next returns the
// detached mounts of what Superblocks listed, in that order. The Set closes them.
func (s *Set) Mount(next func() (*os.File, error)) error {
	for _, e := range s.plan.entries {
		var err error
		switch e.maker {
		case makeBind:
			err = s.mountBind(e)
		case makeChild:
			err = s.mountSuper(e, next)
		case makeFS:
			err = s.mountOwn(e)
		case makeLegacy:
			err = s.mountLegacy(e)
		case makeRemount:
			err = s.remount(e)
		}
		if err != nil {
			return e.wrap(err)
		}
	}
	if s.plan.setupDev {
		nodes := nodeMaker{root: &s.root, label: mountLabel(s.c.Spec), scratch: -1}
		if err := nodes.fillDev(s.plan.devices); err != nil {
			return err
		}
	}
	return s.makeCwd()
}

func (s *Set) mountBind(e *entry) (err error) {
	switch {
	case e.inRoot:
		e.fd, err = cloneInRoot(&s.root, e, &s.ns)
	case e.fd < 0:
		e.fd, err = cloneBind(e.source, &e.options, e.idmap, &s.ns)
	}
	if err != nil {
		return err
	}
	t, err := s.root.openFor(e, e.fd)
	if err != nil {
		return err
	}
	defer sys.Close(t.fd)
	err = sys.MoveMount(e.fd, t.fd)
	sys.Close(e.fd)
	e.fd = -1
	return err
}

// mountSuper attaches a filesystem that the child has made.
func (s *Set) mountSuper(e *entry, next func() (*os.File, error)) error {
	f, err := next()
	if err != nil {
		return err
	}
	if err := s.mountTree(e, sys.FD(f)); err != nil || !e.lateRO {
		return errors.Join(err, f.Close())
	}
	s.late.files = append(s.late.files, f)
	return nil
}

// mountTree attaches a new filesystem.
func (s *Set) mountTree(e *entry, tree int) error {
	t, err := s.root.openFor(e, -1)
	if err != nil {
		return err
	}
	defer sys.Close(t.fd)
	if e.fstype == "tmpfs" {
		if err := s.inherit(e, tree, &t); err != nil {
			return err
		}
	}
	if e.relabel {
		label := mountLabel(s.c.Spec)
		if err := sys.SetXattr(procPath(tree), "security.selinux", label); err != nil {
			return fmt.Errorf("label it %s: %w", label, err)
		}
	}
	if err := setPropagation(tree, e.options.propagation); err != nil {
		return err
	}
	if err := sys.MoveMount(tree, t.fd); err != nil {
		return err
	}
	if e.lateRO {
		s.late.add(tree, e.dest)
	}
	return nil
}

// mountOwn makes a filesystem of a type that no namespace of the container owns.
func (s *Set) mountOwn(e *entry) error {
	tree, err := e.super.makeOwn()
	if err != nil {
		return explainMount(e.fstype, e.source, e.options.data, err)
	}
	if err := s.mountTree(e, tree); err != nil || !e.lateRO {
		sys.Close(tree)
		return err
	}
	s.late.fds = append(s.late.fds, tree)
	return nil
}

// makeCwd makes the working directory of the container's process, as runc does, if the
// image lacks it.
func (s *Set) makeCwd() error {
	p := s.c.Spec.Process
	if p == nil || p.Cwd == "" || p.Cwd == "/" {
		return nil
	}
	t, err := s.root.open(p.Cwd, false)
	if err != nil {
		return fmt.Errorf("make process.cwd %s: %w", p.Cwd, err)
	}
	sys.Close(t.fd)
	return nil
}
