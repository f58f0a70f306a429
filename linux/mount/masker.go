// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// masker makes masks. It keeps the first of a kind, which is attached, and clones it for
// the next ones (a detached mount can be cloned since Linux 6.15 only).
type masker struct {
	root  int    // the container's root
	host  int    // the host's /dev/null
	null  int    // a mount of a null device
	empty int    // a mount of an empty, read-only tmpfs
	label string // linux.mountLabel, for the tmpfs
}

func (m *masker) close() { sys.Close(m.null, m.empty) }

// file covers a file with a null device: the container's own, or the host's if
// the container's /dev/null is anything else (CVE-2025-31133). The mount is read-only:
// what is written to the mask is lost all the same, but nobody can change the mode, the
// owner or the times of the inode through it.
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
	if err != nil { // /dev is unbindable, which the specification may ask for
		return cloneReadonly(m.host)
	}
	return tree, nil
}

// directory covers a directory with an empty tmpfs. All share one: Kubernetes
// masks a directory for each CPU, and it takes long to destroy a superblock each.
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
