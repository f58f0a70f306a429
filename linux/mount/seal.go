// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// seal makes linux.readonlyPaths read-only and hides linux.maskedPaths. A path
// is resolved once; the clone that covers it is complete before it is attached,
// so that there is no moment in which it is writable, and no second look at the
// path (GHSA-3q8j-pf29-vwv8).
func (s *Set) seal() error {
	l := s.c.Spec.Linux
	if l == nil {
		return nil
	}
	for _, p := range l.ReadonlyPaths {
		if err := s.readonly(p); err != nil {
			return fmt.Errorf("make %s read-only: %w", p, err)
		}
	}
	mask := masker{host: s.nullFD, null: -1, empty: -1, label: s.mountLabel(), root: s.rootFD}
	defer mask.close()
	done := make(map[string]bool, len(l.MaskedPaths))
	for _, p := range l.MaskedPaths {
		clean := path.Clean("/" + p)
		if done[clean] {
			continue
		}
		done[clean] = true
		if err := s.mask(&mask, clean); err != nil {
			return fmt.Errorf("mask %s: %w", p, err)
		}
	}
	return nil
}

// absent tells that there is nothing to protect at a path.
func absent(err error) bool {
	return missing(err) || errors.Is(err, unix.ENOTDIR)
}

// selves are the links of procfs that lead to the process that looks at them.
var selves = []struct{ link, to string }{
	{"/proc/self", "/proc/%[1]d"}, {"/proc/thread-self", "/proc/%[1]d/task/%[1]d"}, {"/proc/net", "/proc/%[1]d/net"}, {"/proc/mounts", "/proc/%[1]d/mounts"},
}

// openProtected opens a path to protect. For this thread, which is in no pid
// namespace of the container's, /proc/self leads nowhere: the container's init is
// meant, as in runc.
func (s *Set) openProtected(p string) (int, error) {
	for _, self := range selves {
		if !below(p, self.link) || s.c.InitPid == nil {
			continue
		}
		pid, err := s.c.InitPid()
		if err != nil {
			return -1, err
		}
		p = fmt.Sprintf(self.to, pid) + p[len(self.link):]
		break
	}
	return sys.OpenInRoot(s.rootFD, p, unix.O_PATH, 0)
}

// readonly covers a path with a read-only clone of itself. Mounts below it come
// along as they are, as in runc.
func (s *Set) readonly(p string) error {
	fd, err := s.openProtected(path.Clean("/" + p))
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	tree, err := sys.CloneTree(fd, "", true)
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	if err := sys.SetMountAttr(tree, false, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return err
	}
	return sys.MoveMount(tree, fd)
}

func (s *Set) mask(m *masker, p string) error {
	fd, err := s.openProtected(p)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	st, err := sys.Stat(fd)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return m.directory(fd)
	}
	return m.file(fd)
}

// masker has what masks are made of: mounts that are attached, for the next ones
// to be clones of (a detached mount can be cloned since Linux 6.15 only).
type masker struct {
	root  int    // the container's root
	host  int    // the host's /dev/null
	null  int    // a mount of a null device
	empty int    // a mount of an empty, read-only tmpfs
	label string // linux.mountLabel, for the tmpfs
}

func (m *masker) close() { sys.Close(m.null, m.empty) }

// file covers a file with a null device: the container's own, or the host's where
// its /dev/null is anything else (CVE-2025-31133). The mount is read-only: what is
// written to the mask is lost all the same, but nobody changes the mode, the owner or
// the times of the inode through it.
func (m *masker) file(target int) (err error) {
	if m.null >= 0 {
		return cover(m.null, target)
	}
	if m.null, err = m.cloneNull(); err != nil {
		return err
	}
	return sys.MoveMount(m.null, target)
}

func (m *masker) cloneNull() (int, error) {
	own, err := sys.OpenInRoot(m.root, nullDevice.path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return cloneReadonly(m.host)
	}
	defer sys.Close(own)
	if st, err := sys.Stat(own); err != nil || nullDevice.check(st) != nil {
		return cloneReadonly(m.host)
	}
	tree, err := cloneReadonly(own)
	if err != nil { // unbindable, as the specification may have /dev
		return cloneReadonly(m.host)
	}
	return tree, nil
}

// directory covers a directory with an empty tmpfs. All share one: Kubernetes
// masks a directory for each CPU, and a superblock each is dear to take down.
func (m *masker) directory(target int) error {
	if m.empty >= 0 {
		return cover(m.empty, target)
	}
	tree, err := emptyTmpfs(m.label)
	if err != nil {
		return err
	}
	m.empty = tree
	return sys.MoveMount(tree, target)
}

// cover mounts a clone of a mount.
func cover(mount, target int) error {
	tree, err := sys.CloneTree(mount, "", false)
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	return sys.MoveMount(tree, target)
}

// emptyTmpfs makes a tmpfs that has room for nothing but its root.
func emptyTmpfs(label string) (int, error) {
	b := Superblock{Type: "tmpfs", Attrs: unix.MOUNT_ATTR_RDONLY, Params: []Param{
		{Key: "source", Value: "tmpfs"},
		{Key: "ro", Flag: true},
		{Key: "nr_blocks", Value: "1"},
		{Key: "nr_inodes", Value: "1"},
	}}
	if label != "" {
		b.Params = append(b.Params, Param{Key: "context", Value: label})
	}
	return b.make()
}
