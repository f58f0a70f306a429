// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// maxLinks is how many links one path may lead through, as in the kernel.
const maxLinks = 40

// create makes a path of the container, one component after the other. Where a
// dangling link stands in the way, what it points to is made: images have such
// links for files that are mounted over them (/etc/resolv.conf).
func (s *Set) create(p string, file bool) (int, error) {
	for range maxLinks {
		fd, next, err := s.createFrom(p, file)
		if err != nil || next == "" {
			return fd, err
		}
		p = next
	}
	return -1, &os.PathError{Op: "openat2", Path: p, Err: unix.ELOOP}
}

// createFrom is create until the first dangling link; next is the path to go on
// with then.
func (s *Set) createFrom(p string, file bool) (fd int, next string, err error) {
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
	dir, have := -1, len(parts)
	for dir < 0 {
		have--
		if have < 0 {
			return -1, "", &os.PathError{Op: "openat2", Path: p, Err: unix.ENOENT}
		}
		dir, err = sys.OpenInRoot(s.rootFD, "/"+strings.Join(parts[:have], "/"), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil && !missing(err) {
			return -1, "", err
		}
	}
	if slices.Contains(parts[have:], "..") {
		sys.Close(dir)
		return -1, "", &os.PathError{Op: "openat2", Path: p, Err: unix.ENOENT}
	}
	for i := have; i < len(parts); i++ {
		link, err := s.makePart(dir, parts[i], file && i == len(parts)-1)
		if link != "" {
			sys.Close(dir)
			if !strings.HasPrefix(link, "/") {
				link = strings.Join(parts[:i], "/") + "/" + link
			}
			return -1, link + "/" + strings.Join(parts[i+1:], "/"), nil
		}
		child := -1
		if err == nil {
			child, err = openPart(dir, parts[i], file && i == len(parts)-1)
		}
		sys.Close(dir)
		if err != nil {
			return -1, "", err
		}
		dir = child
	}
	return dir, "", nil
}

// makePart makes one component. link is where a link in its place points to; a
// directory or file there already is for openPart to judge.
func (s *Set) makePart(dir int, name string, file bool) (link string, err error) {
	err = s.making(dir, func() error {
		if file {
			return sys.MknodAt(dir, name, unix.S_IFREG|0o644, 0)
		}
		return sys.MkdirAt(dir, name, 0o755)
	})
	if !exists(err) {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", nil // no link
	}
	return string(buf[:n]), nil
}

func openPart(dir int, name string, file bool) (int, error) {
	flags := unix.O_PATH | unix.O_NOFOLLOW
	if !file {
		flags |= unix.O_DIRECTORY
	}
	return sys.OpenAt(dir, name, flags)
}

// making runs a call that makes something in a directory with the rights that root
// of the container's user namespace has: it passes by the permissions of what
// belongs to the namespace, and has those of anybody else to the host's. The shim's
// own rights would have files made, which are the container's then, in volumes that
// it may not write to.
func (s *Set) making(dir int, do func() error) error {
	if !s.c.UserNS {
		return do()
	}
	st, err := sys.Stat(dir)
	if err != nil {
		return err
	}
	if s.mapped(&st) {
		return do()
	}
	return sys.WithoutOverride(do)
}

// mapped tells whether an inode's owners have ids in the container's user namespace
// (capable_wrt_inode_uidgid in kernel/capability.c).
func (s *Set) mapped(st *unix.Stat_t) bool {
	in := func(maps []specs.LinuxIDMapping, id uint32) bool {
		return slices.ContainsFunc(maps, func(m specs.LinuxIDMapping) bool { return id >= m.HostID && id-m.HostID < m.Size })
	}
	return in(s.c.UIDs, st.Uid) && in(s.c.GIDs, st.Gid)
}
