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

// bind mounts a node on a file where none can be made. It binds a node from scratch, or
// else the host's.
func (n *nodeMaker) bind(dir int, name string, d *device) error {
	target, err := n.target(dir, name, d)
	if err != nil || target < 0 {
		return err
	}
	defer sys.Close(target)
	tree, err := n.clone(d)
	if errors.Is(err, unix.EPERM) {
		tree, err = cloneHost(d)
	}
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	return sys.MoveMount(tree, target)
}

// withNodes calls do while scratch is there. No filesystem of a user namespace can have
// device nodes (SB_I_NODEV). Scratch is of the host's user namespace, but belongs to the
// container alone: nothing that is done to its nodes is done to the host's, they have
// the owner and the mode that the specification says, and the host need not have them.
func (n *nodeMaker) withNodes(do func() error) error {
	defer func() { n.scratch = -1 }()
	return withScratch(n.root.fd, n.label, func(dir int) error {
		n.scratch = dir
		return do()
	})
}

// clone makes a node in scratch and returns a mount of it. EPERM: that is not allowed,
// because the shim is in a user namespace itself, or the container's does not map the
// owner.
func (n *nodeMaker) clone(d *device) (int, error) {
	uid, gid, ok := n.root.users.hostIDs(d.uid, d.gid)
	if n.scratch < 0 || !ok {
		return -1, unix.EPERM
	}
	n.count++
	name := strconv.Itoa(n.count)
	if err := sys.MknodAt(n.scratch, name, d.mode, d.dev); err != nil {
		return -1, err
	}
	fd, err := openDevice(n.scratch, name, d)
	if err != nil {
		return -1, err
	}
	defer sys.Close(fd)
	if err := sys.Chown(fd, uid, gid); err != nil {
		return -1, err
	}
	return sys.CloneTree(fd, "", false)
}

// cloneHost clones the host's node of the same number. The mount is read-only, so that
// the container cannot change the node's mode and owner, which are the host's.
func cloneHost(d *device) (int, error) {
	host, err := hostDevice(d)
	if err != nil {
		return -1, err
	}
	defer sys.Close(host)
	return cloneReadonly(host)
}

// target makes or opens what the node is to be mounted on: an empty file. One is there
// if an earlier container left it, or the image was unpacked without the right
// to make nodes. target returns -1 if the node itself is there. Another file is an error
// (config-linux.md, "Devices").
func (n *nodeMaker) target(dir int, name string, d *device) (int, error) {
	err := n.root.users.withRootRights(dir, func() error { return sys.MknodAt(dir, name, unix.S_IFREG, 0) })
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

// nodesDenied reports whether the thread may not make device nodes in a directory,
// as in a user namespace that another tool made.
func nodesDenied(dir int) bool {
	const name = ".mini-node"
	err := sys.MknodAt(dir, name, unix.S_IFCHR, unix.Mkdev(1, 3))
	if err == nil {
		_ = sys.UnlinkAt(dir, name, 0)
	}
	return errors.Is(err, unix.EPERM)
}

// hostDevice opens the host's node for a device at the same path, or at the path in
// devtmpfs that sysfs names. Precondition: the thread's root is the host's.
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
