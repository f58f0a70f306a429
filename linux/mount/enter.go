// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Enter finishes the container's filesystem: mounts that are read-only at last,
// read-only and masked paths, pivot_root with the host's mounts taken away, the
// root's propagation, a read-only root. Afterwards the calling thread and, without
// ChildChroot, every process of the mount namespace whose root was the host's
// have the container's. No descriptor of the Set is open any more.
//
// The masks come before the root is changed, unlike in runc, because /dev/null
// and procfs are still the host's here; nothing of the container runs between.
func (s *Set) Enter() error {
	// Before a path that is protected clones what is mounted below it.
	if err := s.closeMounts(); err != nil {
		return err
	}
	if err := s.seal(); err != nil {
		return err
	}
	if s.c.NoPivotRoot {
		if err := s.moveRoot(); err != nil {
			return fmt.Errorf("move root %s: %w", s.root, err)
		}
	} else if err := s.pivot(); err != nil {
		return fmt.Errorf("enter root %s: %w", s.root, err)
	}
	if err := s.setRootPropagation(); err != nil {
		return err
	}
	if err := s.closeRoot(); err != nil {
		return err
	}
	// A descriptor would keep the rootfs busy after the container's end, and a
	// later child would inherit a way out of its root (CVE-2024-21626).
	return s.Close()
}

// pivot makes the root the mount namespace's root. pivot_root(".", ".") stacks
// the old root on the new one, from where it is taken off (pivot_root(2), NOTES).
func (s *Set) pivot() error {
	old, err := sys.OpenAt(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer sys.Close(old)
	if err := sys.ChdirTo(s.rootFD); err != nil {
		return err
	}
	if err := sys.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := sys.ChdirTo(old); err != nil {
		return err
	}
	if s.mayLeak() {
		// Taking off a peer of the host's mounts would take those off, too.
		if err := sys.Mount("", ".", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	if err := sys.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return sys.Chdir("/")
}

// moveRoot puts the root over the namespace's root and changes the calling
// thread's. The host's mounts stay below it, and the kernel takes a visible full
// procfs or sysfs among them as leave to mount a new one in a user namespace:
// those go first.
func (s *Set) moveRoot() error {
	info, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	for _, at := range fullMounts(info, s.root) {
		if err := hide(at); err != nil {
			return err
		}
	}
	if err := sys.ChdirTo(s.rootFD); err != nil {
		return err
	}
	if err := sys.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := sys.Chroot("."); err != nil {
		return err
	}
	return sys.Chdir("/")
}

// fullMounts lists where the roots of procfs and sysfs are mounted outside root
// (proc_pid_mountinfo(5): 3 is the root in the filesystem, 4 the mount point, the
// type comes behind a dash).
func fullMounts(info []byte, root string) []string {
	var at []string
	for _, line := range bytes.Split(info, []byte("\n")) {
		head, tail, ok := strings.Cut(string(line), " - ")
		f := strings.Fields(head)
		if !ok || len(f) < 5 || f[3] != "/" {
			continue
		}
		fstype, _, _ := strings.Cut(tail, " ")
		p := unescape(f[4])
		if (fstype == "proc" || fstype == "sysfs") && !below(p, path.Clean(root)) {
			at = append(at, p)
		}
	}
	return at
}

// unescape reads the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// hide takes a mount away, or covers it where it is locked.
func hide(p string) error {
	err := sys.Mount("", p, "", unix.MS_SLAVE|unix.MS_REC, "")
	if missing(err) || errors.Is(err, unix.EINVAL) {
		return nil // it went with one that it was mounted on
	}
	if err != nil {
		return err
	}
	err = sys.Unmount(p, unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
		err = sys.Mount("tmpfs", p, "tmpfs", 0, "")
	}
	return err
}

// closeMounts makes the mounts read-only that had to be written until now. Their
// other flags stay.
func (s *Set) closeMounts() error {
	ro := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	for _, m := range s.late {
		if err := sys.SetMountAttr(m.fd, false, &ro); err != nil {
			return fmt.Errorf("make the mount on %s read-only: %w", m.dest, err)
		}
	}
	s.late = nil
	return nil
}

// lateMount is a mount that is made read-only when all is in place.
type lateMount struct {
	fd   int
	dest string
}

// closeRoot is closeMounts for the root, if it is to be read-only.
func (s *Set) closeRoot() error {
	if !s.c.Spec.Root.Readonly {
		return nil
	}
	ro := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := sys.SetMountAttr(s.rootFD, false, &ro); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}
