// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// insideRoot tells whether a host path is one of the container's root, which an
// image has filled with links as it likes, and where in it. A root that is the
// host's own has nothing to hide.
func (s *Set) insideRoot(p string) (inside string, ok bool) {
	p = filepath.Clean(p)
	for _, root := range []string{filepath.Clean(s.root), s.rootfsDir} {
		if root != "/" && below(p, root) {
			return "/" + strings.TrimPrefix(p[len(root):], "/"), true
		}
	}
	return "", false
}

// place is a directory as the calling thread reaches it.
type place struct {
	major, minor uint32
	ino, mount   uint64
}

// placeOf is where a host path leads to. ok is false where it leads nowhere.
func placeOf(path string) (at place, ok bool) {
	var st unix.Statx_t
	const flags = unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	err := sys.Retry(func() error {
		return unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_INO|unix.STATX_MNT_ID, &st)
	})
	return place{st.Dev_major, st.Dev_minor, st.Ino, st.Mnt_id}, err == nil
}

// findInside finds the sources that are inside the root though their path does not say
// so: it leads there by links of the host. It costs one system call for each directory
// on the way to a source. Precondition: nothing of the container is mounted.
func (s *Set) findInside() error {
	f := insideFinder{roots: map[place]bool{}, known: map[string]bool{}}
	for _, root := range []string{s.root, s.rootfsDir} {
		if filepath.Clean(root) == "/" {
			continue
		}
		if at, ok := placeOf(root); ok {
			f.roots[at] = true
		}
	}
	for _, e := range s.entries {
		if e.maker == makeBind && !e.inRoot {
			e.inside, e.inRoot = f.find(e.source)
		}
	}
	return nil
}

type insideFinder struct {
	roots map[place]bool
	known map[string]bool // host paths: whether they are a root
}

// find walks a host path as far as a root, from where on the links are an image's.
func (f *insideFinder) find(p string) (inside string, ok bool) {
	depth := -1 // below a root
	at, from := "", 0
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." {
			continue
		}
		at += "/" + part
		switch {
		case depth < 0:
		case part != "..":
			depth++
			continue
		case depth > 0:
			depth--
			continue
		}
		depth = -1
		if f.isRoot(at) {
			depth, from = 0, len(at)
		}
	}
	if depth < 0 {
		return "", false
	}
	return "/" + strings.TrimPrefix(at[from:], "/"), true
}

func (f *insideFinder) isRoot(p string) bool {
	is, ok := f.known[p]
	if !ok {
		at, there := placeOf(p)
		is = there && f.roots[at]
		f.known[p] = is
	}
	return is
}

// openInside resolves the source of a bind inside the root, like a target, with what
// is mounted by now. Links lead through the root's own file system only, those of the
// image: one that leads into another mount, or is in a volume that somebody else may
// change at this moment (CVE-2021-30465), could have anything that the container has
// only in part, or read-only, bound a second time, such as its procfs.
func (s *Set) openInside(p string) (int, error) {
	fd, err := sys.OpenInRoot(s.rootFD, p, unix.O_PATH, unix.RESOLVE_NO_XDEV)
	if !errors.Is(err, unix.EXDEV) {
		return fd, err
	}
	fd, err = sys.OpenInRoot(s.rootFD, p, unix.O_PATH, unix.RESOLVE_NO_SYMLINKS)
	if errors.Is(err, unix.ELOOP) {
		return -1, fmt.Errorf("source: a link leads into another mount: %w", &os.PathError{Op: "open", Path: p, Err: unix.ELOOP})
	}
	return fd, err
}
