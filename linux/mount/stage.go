// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Stage makes the container's root ready for somebody else to mount the rest of it:
// the rootfs is mounted, and whatever is to be mounted finds something to be mounted
// on. The preconditions are those of Begin, in a mount namespace that ends with the
// work. Nothing follows but Close.
//
// Binds are mounted for the time being: mount points may lie in them, and stay.
func (s *Set) Stage() error {
	if err := s.Begin(); err != nil {
		return err
	}
	for i, e := range s.entries {
		if e.maker == makeRemount || e.fstype == "cgroup" || e.fstype == "cgroup2" || s.onTmpfs(i) {
			continue
		}
		if err := s.stage(e); err != nil {
			return wrap(e.fstype, e.dest, err)
		}
	}
	for _, e := range slices.Backward(s.entries) {
		if e.maker == makeBind && e.fd < 0 {
			if err := s.detach(e.dest); err != nil {
				return wrap(e.fstype, e.dest, err)
			}
		}
	}
	return s.Close()
}

// stage makes the mount point of e, and mounts what is a bind.
func (s *Set) stage(e *entry) error {
	if e.maker == makeBind {
		return s.mountBind(e)
	}
	t, err := s.openFor(e, -1)
	if err != nil {
		return err
	}
	sys.Close(t.fd)
	return nil
}

// onTmpfs tells whether the destination of entry i is in a tmpfs of the
// specification, whose contents are somebody else's to make.
func (s *Set) onTmpfs(i int) bool {
	for _, e := range s.entries[:i] {
		if e.fstype == "tmpfs" && e.dest != s.entries[i].dest && below(s.entries[i].dest, e.dest) {
			return true
		}
	}
	return false
}

// detach takes off what stage has mounted.
func (s *Set) detach(dest string) error {
	fd, err := sys.OpenInRoot(s.rootFD, dest, unix.O_PATH, 0)
	if missing(err) {
		return nil // it went with the one it was in
	}
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	if err := sys.Unmount(procPath(fd), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("take off: %w", err)
	}
	return nil
}

// Devices are the paths, in the container, of the device nodes that Mount makes or
// binds.
func (s *Set) Devices() []string {
	if !s.setupDev {
		return nil
	}
	paths := make([]string, len(s.devices))
	for i, d := range s.devices {
		paths[i] = d.path
	}
	return paths
}
