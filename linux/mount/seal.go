// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// seal makes linux.readonlyPaths read-only and hides linux.maskedPaths. It resolves a path
// once. The clone that covers the path is complete before it is attached: the path is at
// no moment writable and is not looked up a second time (GHSA-3q8j-pf29-vwv8).
func (s *Set) seal() error {
	l := s.c.Spec.Linux
	if l == nil {
		return nil
	}
	protected := protector{root: s.root.fd, initPid: s.c.InitPid}
	for _, p := range l.ReadonlyPaths {
		if err := protected.readonly(p); err != nil {
			return fmt.Errorf("make %s read-only: %w", p, err)
		}
	}
	mask := masker{root: s.root.fd, host: s.nullFD, null: -1, empty: -1, label: mountLabel(s.c.Spec)}
	defer mask.close()
	done := make(map[string]bool, len(l.MaskedPaths))
	for _, p := range l.MaskedPaths {
		clean := path.Clean("/" + p)
		if done[clean] {
			continue
		}
		done[clean] = true
		if err := protected.mask(&mask, clean); err != nil {
			return fmt.Errorf("mask %s: %w", p, err)
		}
	}
	return nil
}

// protector opens and covers the paths that are to be protected.
type protector struct {
	root    int                 // the container's root
	initPid func() (int, error) // Config.InitPid
}

// absent reports whether err says that there is nothing to protect at a path.
func absent(err error) bool {
	return missing(err) || errors.Is(err, unix.ENOTDIR)
}

// selves lists the links of procfs that lead to the process that looks at them.
var selves = []struct{ link, to string }{
	{"/proc/self", "/proc/%[1]d"},
	{"/proc/thread-self", "/proc/%[1]d/task/%[1]d"},
	{"/proc/net", "/proc/%[1]d/net"},
	{"/proc/mounts", "/proc/%[1]d/mounts"},
}

// open opens a path to protect. In the container's procfs /proc/self leads nowhere for
// this thread, which is not in the container's pid namespace. The container's init is
// meant, as in runc.
func (r *protector) open(p string) (int, error) {
	for _, self := range selves {
		if !below(p, self.link) || r.initPid == nil {
			continue
		}
		pid, err := r.initPid()
		if err != nil {
			return -1, err
		}
		p = fmt.Sprintf(self.to, pid) + p[len(self.link):]
		break
	}
	return sys.OpenInRoot(r.root, p, unix.O_PATH, 0)
}

// readonly covers a path with a read-only clone of itself. Mounts below it come
// along as they are, as in runc.
func (r *protector) readonly(p string) error {
	fd, err := r.open(path.Clean("/" + p))
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
	if err := makeReadonly(tree); err != nil {
		return err
	}
	return sys.MoveMount(tree, fd)
}

// mask covers a path with a mask.
func (r *protector) mask(m *masker, p string) error {
	fd, err := r.open(p)
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
