// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// rootfsMount is one of containerd's mounts that make up the rootfs. Its options
// are those of containerd's core/mount: the OCI flags, and loop and direct-io for
// an image file.
type rootfsMount struct {
	fstype, source string
	target         string // clean and absolute, below the rootfs
	options        options
	idmap          *idMapping
	loop, direct   bool
	helper         *helper  // the program that mounts it, or nil
	words          []string // its options, for the helper
}

// what names the mount in errors.
func (m *rootfsMount) what() string {
	if m.options.bind {
		return "bind"
	}
	return m.fstype
}

// compileRootfs reads the request's rootfs mounts.
func (s *Set) compileRootfs() error {
	for i := range s.c.Rootfs {
		r := &s.c.Rootfs[i]
		field := fmt.Sprintf("rootfs[%d]", i)
		if h := helperOf(r.Type); h != nil {
			if err := s.compileHelped(field, h, r); err != nil {
				return err
			}
			continue
		}
		owners, rest, err := splitOwners(field, r.Options)
		if err != nil {
			return err
		}
		m := rootfsMount{fstype: r.Type, source: r.Source, target: path.Clean("/" + r.Destination), options: parse(rest), idmap: owners}
		if err := m.own(field); err != nil {
			return err
		}
		switch {
		case m.options.idmap != "":
			return unsupported(field+".options", m.options.idmap)
		case m.options.bind && len(m.options.data) > 0:
			return invalid(field+".options", "a bind takes no filesystem options (%s)", strings.Join(m.options.data, ","))
		case m.options.bind && m.source == "":
			return invalid(field+".source", "empty for a bind")
		case m.fstype == "" && !m.options.bind:
			return invalid(field+".type", "empty")
		}
		s.rootfs = append(s.rootfs, m)
	}
	return nil
}

// own takes the options out that are containerd's own.
func (m *rootfsMount) own(field string) error {
	var data []string
	for _, d := range m.options.data {
		switch {
		case d == "loop":
			m.loop = true
		case d == "direct-io":
			m.direct = true
		case strings.HasPrefix(d, "X-containerd."):
			return invalid(field+".options", "%s is for containerd's mount manager", d)
		default:
			data = append(data, d)
		}
	}
	if m.direct && !m.loop {
		data, m.direct = append(data, "direct-io"), false
	}
	m.options.data = data
	return nil
}

// mountRootfs mounts the request's mounts on s.rootfsDir in the calling thread's
// mount namespace. Precondition: the thread has unshared CLONE_FS, and nothing of
// the container is mounted yet, so that paths are the host's.
func (s *Set) mountRootfs() error {
	for i := range s.rootfs {
		m := &s.rootfs[i]
		if err := s.mountRootfsOne(m); err != nil {
			return wrap("rootfs "+m.what(), path.Join(s.rootfsDir, m.target), err)
		}
	}
	return nil
}

func (s *Set) mountRootfsOne(m *rootfsMount) error {
	target, err := s.openRootfs(m.target)
	if err != nil {
		return err
	}
	defer sys.Close(target)
	if m.helper != nil {
		return s.mountHelped(m, target)
	}
	if m.options.bind {
		tree, err := s.cloneBind(m.source, &m.options, m.idmap)
		if err != nil {
			return err
		}
		defer sys.Close(tree)
		return sys.MoveMount(tree, target)
	}
	if m.idmap != nil {
		return s.mountMapped(m, target)
	}
	if err := m.mountFS(target); err != nil || len(m.options.propagation) == 0 {
		return err
	}
	over, err := s.openRootfs(m.target)
	if err != nil {
		return err
	}
	defer sys.Close(over)
	return setPropagation(over, &m.options)
}

// openRootfs opens what is topmost at a path of the rootfs that is being mounted.
func (s *Set) openRootfs(target string) (int, error) {
	dir, err := sys.OpenAt(unix.AT_FDCWD, s.rootfsDir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil || target == "/" {
		return dir, err
	}
	defer sys.Close(dir)
	return sys.OpenInRoot(dir, target, unix.O_PATH, 0)
}

// mountFS mounts what is no bind with mount(2): one call, whatever the length of
// an option, up to a page in all.
func (m *rootfsMount) mountFS(target int) error {
	source := m.source
	if m.loop {
		loop, err := attachLoop(m.source, m.options.set&unix.MS_RDONLY != 0, m.direct)
		if err != nil {
			return err
		}
		defer loop.Close()
		source = loop.Name()
	}
	err := mountByPath(m.fstype, source, target, &m.options)
	return explainMount(m.fstype, m.source, m.options.data, err)
}

// openRoot mounts the root, makes it a mount point that nothing propagates to
// from above, and keeps it as s.rootFD.
func (s *Set) openRoot() (err error) {
	if len(s.rootfs) > 0 && !s.c.HostVisibleRootfs {
		if err := s.mountRootfs(); err != nil {
			return err
		}
		if path.Clean(s.root) == path.Clean(s.rootfsDir) {
			s.rootFD, err = sys.OpenAt(unix.AT_FDCWD, s.root, unix.O_PATH|unix.O_DIRECTORY)
			return err
		}
	}
	target, err := sys.OpenAt(unix.AT_FDCWD, s.root, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer sys.Close(target)
	tree, err := sys.CloneTree(target, "", true)
	if err != nil {
		return err
	}
	if err := s.ownPropagation(tree); err != nil {
		sys.Close(tree)
		return err
	}
	if err := sys.MoveMount(tree, target); err != nil {
		sys.Close(tree)
		return wrap("bind", s.root, err)
	}
	s.rootFD = tree
	return nil
}

// mountByPath is mount(2) on an open directory.
func mountByPath(fstype, source string, target int, o *options) error {
	if fstype == "overlay" {
		return mountOverlay(source, target, o)
	}
	return sys.Mount(source, procPath(target), fstype, o.legacyFlags(), strings.Join(o.data, ","))
}

// procPath names an open inode for the calls that take no descriptor. It goes
// through the host's procfs: the calling thread's root is the host's until Enter.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
