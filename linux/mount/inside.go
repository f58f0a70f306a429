// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// insideRoot reports whether a host path is in one of the container's root
// directories, and returns the path in it. An image has filled those with links as
// it likes. A root that is the host's own has nothing to hide.
func insideRoot(p string, roots ...string) (inside string, ok bool) {
	p = filepath.Clean(p)
	for _, root := range roots {
		root = filepath.Clean(root)
		if root != "/" && below(p, root) {
			return "/" + strings.TrimPrefix(p[len(root):], "/"), true
		}
	}
	return "", false
}

// place identifies a directory as the calling thread reaches it.
type place struct {
	major, minor uint32
	ino, mount   uint64
}

// placeOf returns where a host path leads to. ok is false where it leads nowhere.
func placeOf(path string) (at place, ok bool) {
	var st unix.Statx_t
	const flags = unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	err := sys.Retry(func() error {
		return unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_INO|unix.STATX_MNT_ID, &st)
	})
	return place{st.Dev_major, st.Dev_minor, st.Ino, st.Mnt_id}, err == nil
}

// findInside finds the sources that are inside a root though their path does not say
// so, because links of the host lead there. It costs one system call for each directory
// on the way to a source. Precondition: nothing of the container is mounted.
func findInside(entries []*entry, roots ...string) {
	f := insideFinder{roots: map[place]bool{}, known: map[string]bool{}}
	for _, root := range roots {
		if filepath.Clean(root) == "/" {
			continue
		}
		if at, ok := placeOf(root); ok {
			f.roots[at] = true
		}
	}
	for _, e := range entries {
		if e.maker == makeBind && !e.inRoot {
			e.inside, e.inRoot = f.find(e.source)
		}
	}
}

type insideFinder struct {
	roots map[place]bool
	known map[string]bool // host paths: whether they are a root
}

// find walks a host path as far as a root. From there on the links are an image's.
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
