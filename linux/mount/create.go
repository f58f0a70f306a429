// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// maxLinks is the number of links that one path may lead through, as in the kernel.
const maxLinks = 40

// create makes a path of the container, one component after the other. Where a
// dangling link stands in the way, what it points to is made: images have such
// links for files that are mounted over them (/etc/resolv.conf).
func (r *root) create(p string, file bool) (int, error) {
	for range maxLinks {
		fd, next, err := r.createFrom(p, file)
		if err != nil || next == "" {
			return fd, err
		}
		p = next
	}
	return -1, &os.PathError{Op: "openat2", Path: p, Err: unix.ELOOP}
}

// createFrom is like create, but stops at the first dangling link. next is then the
// path to go on with.
func (r *root) createFrom(p string, file bool) (fd int, next string, err error) {
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
	dir, have := -1, len(parts)
	for dir < 0 {
		have--
		if have < 0 {
			return -1, "", &os.PathError{Op: "openat2", Path: p, Err: unix.ENOENT}
		}
		dir, err = sys.OpenInRoot(r.fd, "/"+strings.Join(parts[:have], "/"), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil && !missing(err) {
			return -1, "", err
		}
	}
	if slices.Contains(parts[have:], "..") {
		sys.Close(dir)
		return -1, "", &os.PathError{Op: "openat2", Path: p, Err: unix.ENOENT}
	}
	for i := have; i < len(parts); i++ {
		link, err := r.makePart(dir, parts[i], file && i == len(parts)-1)
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

// makePart makes one component. If a link is in its place, makePart returns what it
// points to; if a directory or a file is, openPart has to judge it.
func (r *root) makePart(dir int, name string, file bool) (link string, err error) {
	err = r.users.withRootRights(dir, func() error {
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
