// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Set is all that is to be mounted for one container. Its methods are called
// one after another, in the order of the package's documentation, and never two
// at the same time.
//
// It owns the descriptors it opens until Enter has succeeded or Close.
type Set struct {
	c    Config
	plan plan

	root   root
	ns     mapNamespaces
	nullFD int // the host's /dev/null, O_PATH; -1: not open
	late   lateMounts
	hosted bool // the rootfs is mounted on the host
}

// Prepare reads the spec and, with HostVisibleRootfs, mounts the rootfs on the
// host. It refuses by the field's name what cannot be honoured: with
// errdefs.ErrInvalidArgument, or errdefs.ErrNotImplemented when another runtime
// could. The caller ends the Set with Undo and Close.
func Prepare(c *Config) (_ *Set, err error) {
	s, err := newSet(c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Undo(), s.Close())
		}
	}()
	if len(s.plan.rootfs) == 0 {
		return s, nil
	}
	// containerd makes the directory. Older versions leave it to the shim.
	if err := os.Mkdir(s.plan.rootfsDir, 0o711); err != nil && !os.IsExist(err) {
		return nil, err
	}
	if s.plan.onHost {
		s.hosted = true
		return s, s.rootfs().mountOnHost()
	}
	return s, nil
}

// newSet reads the spec and makes no system call.
func newSet(c *Config) (*Set, error) {
	p, err := compile(c)
	if err != nil {
		return nil, err
	}
	s := &Set{c: *c, plan: p, root: root{fd: -1}, ns: mapNamespaces{make: c.MapNS}, nullFD: -1}
	if c.UserNS {
		s.root.users = &userNS{uids: c.UIDs, gids: c.GIDs}
	}
	return s, nil
}

// rootfs returns what mounts the request's rootfs.
func (s *Set) rootfs() *rootfsMaker {
	return &rootfsMaker{
		dir:    s.plan.rootfsDir,
		mounts: s.plan.rootfs,
		label:  mountLabel(s.c.Spec),
		ns:     &s.ns,
		help:   s.c.Helper,
	}
}

// Superblocks returns the filesystems that the child makes in its own namespaces:
// only a process in a pid namespace can make a procfs of it, and only one in a
// user namespace can make filesystems that belong to it.
func (s *Set) Superblocks() []Superblock { return s.plan.supers }

// PTY returns the index in Superblocks of the devpts in which the child opens the
// terminal of its process (`ptmx` relative to the detached mount, TIOCSPTLCK 0,
// TIOCGPTPEER), or -1 if there is no terminal or it must come from OpenPTY.
func (s *Set) PTY() int { return s.plan.pty }

// ChildChroot reports whether Enter moves nothing but the calling thread. The child
// then does chdir("/..") and chroot(".") itself afterwards. `..` of the root leads to
// the mount on top of it.
func (s *Set) ChildChroot() bool { return s.c.NoPivotRoot }

// OpenRoot opens the container's root directory as its mount namespace has it,
// O_PATH, between Begin and Enter. The caller closes it before Enter.
func (s *Set) OpenRoot() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(s.root.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), s.plan.root), nil
}

// Close closes every descriptor. It can be called again. What is mounted stays: in the
// container's mount namespace it ends with that, on the host with Undo.
func (s *Set) Close() error {
	for _, e := range s.plan.entries {
		sys.Close(e.fd)
		e.fd = -1
	}
	s.ns.close()
	s.late.close()
	sys.Close(s.root.fd, s.nullFD)
	s.root.fd, s.nullFD = -1, -1
	return nil
}

// Undo unmounts what Prepare mounted on the host. It can be called again.
func (s *Set) Undo() error {
	if !s.hosted {
		return nil
	}
	err := UnmountHost(s.c.Bundle)
	s.hosted = err != nil
	return err
}
