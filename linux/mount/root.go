// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// root is the container's root directory. The Set closes it.
type root struct {
	fd    int         // O_PATH; -1: not open yet, or no longer
	stat  unix.Stat_t // of fd
	users *userNS     // in whose name files are made
}

// is reports whether a target is the root directory itself.
func (r *root) is(t *target) (bool, error) {
	if t.st.Dev != r.stat.Dev || t.st.Ino != r.stat.Ino {
		return false, nil
	}
	at, err := sys.MountID(t.fd)
	if err != nil {
		return false, err
	}
	root, err := sys.MountID(r.fd)
	return at == root, err
}

// openInside resolves the source of a bind inside the root, with what is mounted by now.
// It follows links only within the root's own filesystem, where they are the image's. A
// link that leads into another mount, or is in a volume that somebody else may change at
// this moment (CVE-2021-30465), could bind a second time what the container has only in
// part or read-only, such as its procfs.
func (r *root) openInside(p string) (int, error) {
	fd, err := sys.OpenInRoot(r.fd, p, unix.O_PATH, unix.RESOLVE_NO_XDEV)
	if !errors.Is(err, unix.EXDEV) {
		return fd, err
	}
	fd, err = sys.OpenInRoot(r.fd, p, unix.O_PATH, unix.RESOLVE_NO_SYMLINKS)
	if errors.Is(err, unix.ELOOP) {
		err = &os.PathError{Op: "open", Path: p, Err: unix.ELOOP}
		return -1, fmt.Errorf("source: a link leads into another mount: %w", err)
	}
	return fd, err
}
