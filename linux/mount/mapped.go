// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// mountMapped mounts one of the rootfs's filesystems with its owners mapped on target,
// an O_PATH descriptor of a directory.
func (r *rootfsMaker) mountMapped(m *rootfsMount, target int) error {
	tree, err := r.makeMapped(m, target)
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	if err := setPropagation(tree, m.options.propagation); err != nil {
		return err
	}
	return sys.MoveMount(tree, target)
}

// makeMapped makes the filesystem as a detached tree.
func (r *rootfsMaker) makeMapped(m *rootfsMount, target int) (tree int, err error) {
	tree = -1
	err = withScratch(target, r.label, func(dir int) (err error) {
		tree, err = r.makeMappedIn(m, dir)
		return err
	})
	if err != nil {
		sys.Close(tree)
		return -1, err
	}
	return tree, nil
}

// makeMappedIn is makeMapped with a scratch directory.
func (r *rootfsMaker) makeMappedIn(m *rootfsMount, dir int) (int, error) {
	const name = "rootfs"
	if err := sys.MkdirAt(dir, name, 0o700); err != nil {
		return -1, err
	}
	at, err := sys.OpenAt(dir, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer sys.Close(at)
	if m.fstype == "overlay" {
		if err := r.mappedOverlay(m, dir, at); err != nil {
			return -1, err
		}
		return sys.CloneTree(dir, name, false)
	}
	if err := m.mountFS(at); err != nil {
		return -1, err
	}
	tree, err := sys.CloneTree(dir, name, true)
	if err != nil {
		return -1, err
	}
	if err := r.ns.mapOwners(tree, m.idmap); err != nil {
		sys.Close(tree)
		return -1, err
	}
	return tree, nil
}

// mappedOverlay mounts an overlay of mapped layers on target. An overlay itself has no
// mapping. Its layers have, and what it copies up belongs to the mapped owner. The upper
// directory is containerd's, which has given it to the container's root.
//
// Each layer is mounted in dir under a short name: mount(2) takes a page of data,
// and takes a layer that is attached nowhere only since Linux 6.15. The overlay holds
// private copies of the layers' mounts (clone_private_mount).
func (r *rootfsMaker) mappedOverlay(m *rootfsMount, dir, target int) error {
	var data []string
	layers := 0
	for _, d := range m.options.data {
		list, ok := strings.CutPrefix(d, "lowerdir=")
		if !ok {
			data = append(data, d)
			continue
		}
		parts := splitLayers(list)
		for i, layer := range parts {
			if layer == ":" {
				continue
			}
			parts[i] = strconv.Itoa(layers)
			layers++
			if err := r.mountLayer(layer, dir, parts[i], m.idmap); err != nil {
				return err
			}
		}
		data = append(data, "lowerdir="+strings.Join(parts, ""))
	}
	if err := sys.ChdirTo(dir); err != nil {
		return err
	}
	defer func() { _ = sys.Chdir("/") }() // the thread's own, and its root is the host's
	return sys.Mount(m.source, procPath(target), "overlay", m.options.legacyFlags(), strings.Join(data, ","))
}

// mountLayer mounts a layer as dir/name, with its owners mapped.
func (r *rootfsMaker) mountLayer(layer string, dir int, name string, m *idMapping) error {
	tree, err := cloneBind(layer, &options{}, m, r.ns)
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	if err := sys.SetMountAttr(tree, false, &unix.MountAttr{Propagation: unix.MS_PRIVATE}); err != nil {
		return err
	}
	if err := sys.MkdirAt(dir, name, 0o700); err != nil {
		return err
	}
	at, err := sys.OpenAt(dir, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer sys.Close(at)
	return sys.MoveMount(tree, at)
}
