// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// bindDevice mounts a node on a file, where none can be made: one of nodes, or
// else the host's.
func (s *Set) bindDevice(dir int, name string, d *device) error {
	target, err := s.deviceTarget(dir, name, d)
	if err != nil || target < 0 {
		return err
	}
	defer sys.Close(target)
	tree, err := s.cloneNode(d)
	if errors.Is(err, unix.EPERM) {
		tree, err = cloneHost(d)
	}
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	return sys.MoveMount(tree, target)
}

// bindDevices calls do while there is a file system for the nodes of a user
// namespace's container, none of whose own file systems can have any (SB_I_NODEV). It
// belongs to the container alone: nothing that is done to the nodes is done to the
// host's, they have the owner and the mode that the specification says, and the host
// need not have them.
func (s *Set) bindDevices(do func() error) error {
	_, err := s.aside(s.rootFD, func(dir int) (int, error) {
		s.nodes = dir
		return -1, do()
	})
	s.nodes = -1
	return err
}

// cloneNode makes a node and returns a mount of it. EPERM: that is not allowed, as to
// a shim that is in a user namespace itself, or the owner has no id in the container's.
func (s *Set) cloneNode(d *device) (int, error) {
	uid, ok1 := mapID(s.c.UIDs, d.uid)
	gid, ok2 := mapID(s.c.GIDs, d.gid)
	if s.nodes < 0 || !ok1 || !ok2 {
		return -1, unix.EPERM
	}
	s.nodeCount++
	name := strconv.Itoa(s.nodeCount)
	if err := sys.MknodAt(s.nodes, name, d.mode, d.dev); err != nil {
		return -1, err
	}
	fd, err := openDevice(s.nodes, name, d)
	if err != nil {
		return -1, err
	}
	defer sys.Close(fd)
	if err := sys.Chown(fd, uid, gid); err != nil {
		return -1, err
	}
	return sys.CloneTree(fd, "", false)
}

// cloneHost clones the host's node of the same number, whose mode and owner are the
// host's and stay: the mount is read-only.
func cloneHost(d *device) (int, error) {
	host, err := hostDevice(d)
	if err != nil {
		return -1, err
	}
	defer sys.Close(host)
	return cloneReadonly(host)
}

// deviceTarget makes or opens what the node is to be mounted on: an empty file, as
// an earlier container leaves it, or an image that was unpacked without the right
// to make nodes. It is -1 where the node itself is there. Another file is an error
// (config-linux.md, "Devices").
func (s *Set) deviceTarget(dir int, name string, d *device) (int, error) {
	err := s.making(dir, func() error { return sys.MknodAt(dir, name, unix.S_IFREG, 0) })
	if err != nil && !exists(err) {
		return -1, err
	}
	fd, err := sys.OpenAt(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return -1, err
	}
	st, err := sys.Stat(fd)
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0:
		return fd, nil
	case err == nil:
		err = d.check(st)
	}
	sys.Close(fd)
	return -1, err
}

// nodesDenied tells whether the thread may not make device nodes in a directory,
// as in a user namespace that another tool made.
func nodesDenied(dir int) bool {
	const name = ".mini-node"
	err := sys.MknodAt(dir, name, unix.S_IFCHR, unix.Mkdev(1, 3))
	if err == nil {
		_ = sys.UnlinkAt(dir, name, 0)
	}
	return errors.Is(err, unix.EPERM)
}

// hostDevice opens the host's node for a device: at the same path, or where
// sysfs says that devtmpfs has it. Precondition: the thread's root is the host's.
func hostDevice(d *device) (int, error) {
	fd, err := openDevice(unix.AT_FDCWD, d.path, d)
	if err == nil {
		return fd, nil
	}
	class := "char"
	if d.mode&unix.S_IFMT == unix.S_IFBLK {
		class = "block"
	}
	uevent, rerr := os.ReadFile(fmt.Sprintf("/sys/dev/%s/%d:%d/uevent", class, unix.Major(d.dev), unix.Minor(d.dev)))
	if rerr != nil {
		return -1, err
	}
	for _, line := range strings.Split(string(uevent), "\n") {
		if name, ok := strings.CutPrefix(line, "DEVNAME="); ok {
			return openDevice(unix.AT_FDCWD, "/dev/"+name, d)
		}
	}
	return -1, err
}
