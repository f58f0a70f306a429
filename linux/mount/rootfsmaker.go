// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// rootfsMaker mounts the rootfs that a request gives.
type rootfsMaker struct {
	dir    string // host path where the rootfs goes
	mounts []rootfsMount
	label  string // linux.mountLabel
	ns     *mapNamespaces
	help   func(program string, args []string) error // Config.Helper
}

// mount mounts the rootfs in the calling thread's mount namespace. Precondition: the
// thread has unshared CLONE_FS, and nothing of the container is mounted yet, so that
// paths are the host's.
func (r *rootfsMaker) mount() error {
	for i := range r.mounts {
		m := &r.mounts[i]
		if err := r.mountOne(m); err != nil {
			return wrap("rootfs "+m.kind(), path.Join(r.dir, m.target), err)
		}
	}
	return nil
}

// mountOnHost mounts the rootfs in the shim's own mount namespace. It does so on a
// thread of its own, because a long overlay changes the working directory.
func (r *rootfsMaker) mountOnHost() error {
	return sys.OnThread(func() error {
		if err := sys.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		return r.mount()
	})
}

func (r *rootfsMaker) mountOne(m *rootfsMount) error {
	target, err := r.open(m.target)
	if err != nil {
		return err
	}
	defer sys.Close(target)
	switch {
	case m.helper != nil:
		return r.mountHelped(m, target)
	case m.options.bind:
		return r.bind(m, target)
	case m.idmap != nil:
		return r.mountMapped(m, target)
	}
	if err := m.mountFS(target); err != nil || len(m.options.propagation) == 0 {
		return err
	}
	over, err := r.open(m.target)
	if err != nil {
		return err
	}
	defer sys.Close(over)
	return setPropagation(over, m.options.propagation)
}

func (r *rootfsMaker) bind(m *rootfsMount, target int) error {
	tree, err := cloneBind(m.source, &m.options, m.idmap, r.ns)
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	return sys.MoveMount(tree, target)
}

// open opens what is topmost at a path of the rootfs that is being mounted.
func (r *rootfsMaker) open(target string) (int, error) {
	dir, err := sys.OpenAt(unix.AT_FDCWD, r.dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil || target == "/" {
		return dir, err
	}
	defer sys.Close(dir)
	return sys.OpenInRoot(dir, target, unix.O_PATH, 0)
}

// mountFS mounts what is no bind with mount(2): in one call, whatever the length of
// an option, up to a page in all.
func (m *rootfsMount) mountFS(target int) error {
	source := m.source
	if m.loop {
		loop, err := attachLoop(m.source, m.options.set&unix.MS_RDONLY != 0, m.direct)
		if err != nil {
			return err
		}
		defer loop.Close()
		source = loop.Name()
	}
	err := mountByPath(m.fstype, source, target, &m.options)
	return explainMount(m.fstype, m.source, m.options.data, err)
}

// mountByPath is mount(2) on an open directory.
func mountByPath(fstype, source string, target int, o *options) error {
	if fstype == "overlay" {
		return mountOverlay(source, target, o)
	}
	return sys.Mount(source, procPath(target), fstype, o.legacyFlags(), strings.Join(o.data, ","))
}
