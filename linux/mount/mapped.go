// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// mountMapped mounts one of the rootfs's filesystems whose owners are mapped.
// Target is where, an O_PATH descriptor of a directory.
func (s *Set) mountMapped(m *rootfsMount, target int) error {
	tree, err := s.makeMapped(m, target)
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	if err := setPropagation(tree, &m.options); err != nil {
		return err
	}
	return sys.MoveMount(tree, target)
}

func (s *Set) makeMapped(m *rootfsMount, target int) (int, error) {
	return s.aside(target, func(dir int) (int, error) {
		if err := sys.MkdirAt(dir, "made", 0o700); err != nil {
			return -1, err
		}
		made, err := sys.OpenAt(dir, "made", unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return -1, err
		}
		defer sys.Close(made)
		if m.fstype == "overlay" {
			return s.mappedOverlay(m, dir, made)
		}
		if err := m.mountFS(made); err != nil {
			return -1, err
		}
		tree, err := sys.CloneTree(dir, "made", true)
		if err != nil {
			return -1, err
		}
		if err := s.mapOwners(tree, m.idmap); err != nil {
			sys.Close(tree)
			return -1, err
		}
		return tree, nil
	})
}

// aside calls make with a directory for mounts that are of use for a moment only:
// a tmpfs on target, which is where a clean-up after the shim's death looks.
func (s *Set) aside(target int, make func(dir int) (int, error)) (tree int, err error) {
	scratch := Superblock{Type: "tmpfs", Params: []Param{{Key: "source", Value: "tmpfs"}, {Key: "mode", Value: "0700"}}}
	if label := s.mountLabel(); label != "" {
		scratch.Params = append(scratch.Params, Param{Key: "context", Value: label})
	}
	dir, err := scratch.make()
	if err != nil {
		return -1, err
	}
	defer sys.Close(dir)
	if err := sys.MoveMount(dir, target); err != nil {
		return -1, err
	}
	tree, err = make(dir)
	if uerr := sys.Unmount(procPath(dir), unix.MNT_DETACH); uerr != nil {
		sys.Close(tree)
		return -1, errors.Join(err, uerr)
	}
	return tree, err
}

// mappedOverlay makes an overlay of mapped layers. An overlay itself has no
// mapping; its layers have, and what it copies up belongs to the mapped owner.
// The upper directory is containerd's, which has given it to the container's root.
//
// Each layer is mounted in dir under a short name: mount(2) takes a page of data,
// and a layer that is attached nowhere only since Linux 6.15. The overlay holds
// private copies of the layers' mounts (clone_private_mount).
func (s *Set) mappedOverlay(m *rootfsMount, dir, made int) (int, error) {
	o := m.options
	o.data = nil
	layers := 0
	for _, d := range m.options.data {
		list, ok := strings.CutPrefix(d, "lowerdir=")
		if !ok {
			o.data = append(o.data, d)
			continue
		}
		parts := splitLayers(list)
		for i, layer := range parts {
			if layer == ":" {
				continue
			}
			parts[i] = strconv.Itoa(layers)
			layers++
			if err := s.mapLayer(layer, dir, parts[i], m.idmap); err != nil {
				return -1, err
			}
		}
		o.data = append(o.data, "lowerdir="+strings.Join(parts, ""))
	}
	if err := sys.ChdirTo(dir); err != nil {
		return -1, err
	}
	defer func() { _ = sys.Chdir("/") }() // the thread's own, and its root is the host's
	if err := sys.Mount(m.source, procPath(made), "overlay", o.legacyFlags(), strings.Join(o.data, ",")); err != nil {
		return -1, err
	}
	return sys.CloneTree(dir, "made", false)
}

// mapLayer mounts a layer with its owners mapped as dir/name.
func (s *Set) mapLayer(layer string, dir int, name string, m *idMapping) error {
	tree, err := s.cloneBind(layer, &options{}, m)
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
