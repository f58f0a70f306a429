// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Stage prepares the container's root for somebody else who mounts the rest of it. It
// mounts the rootfs and makes the mount points. The preconditions are those of Begin, in a
// mount namespace that ends with the work. Only Close may follow.
//
// Stage mounts binds for a while, because mount points may lie in them. Those stay.
func (s *Set) Stage() error {
	if err := s.Begin(); err != nil {
		return err
	}
	tmpfs := map[string]bool{} // of the specification: somebody else makes their contents
	for _, e := range s.plan.entries {
		inTmpfs := anyAbove(tmpfs, e.dest)
		if e.fstype == "tmpfs" {
			tmpfs[e.dest] = true
		}
		if e.maker == makeRemount || e.fstype == "cgroup" || e.fstype == "cgroup2" || inTmpfs {
			continue
		}
		if err := s.stage(e); err != nil {
			return wrap(e.fstype, e.dest, err)
		}
	}
	for _, e := range slices.Backward(s.plan.entries) {
		if e.maker == makeBind && e.fd < 0 {
			if err := s.detach(e.dest); err != nil {
				return wrap(e.fstype, e.dest, err)
			}
		}
	}
	return s.Close()
}

// stage makes the mount point of e, and mounts e if it is a bind.
func (s *Set) stage(e *entry) error {
	if e.maker == makeBind {
		return s.mountBind(e)
	}
	t, err := s.root.openFor(e, -1)
	if err != nil {
		return err
	}
	sys.Close(t.fd)
	return nil
}

// anyAbove reports whether one of the directories is above the clean path p.
func anyAbove(dirs map[string]bool, p string) bool {
	for p != "/" {
		if p = path.Dir(p); dirs[p] {
			return true
		}
	}
	return false
}

// detach unmounts what stage has mounted.
func (s *Set) detach(dest string) error {
	fd, err := sys.OpenInRoot(s.root.fd, dest, unix.O_PATH, 0)
	if missing(err) {
		return nil // it was unmounted with the one it was in
	}
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	if err := sys.Unmount(procPath(fd), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	return nil
}

// Devices returns the paths, in the container, of the device nodes that Mount makes or
// binds.
func (s *Set) Devices() []string {
	if !s.plan.setupDev {
		return nil
	}
	paths := make([]string, len(s.plan.devices))
	for i, d := range s.plan.devices {
		paths[i] = d.path
	}
	return paths
}
