// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// nodeMaker makes the container's device nodes.
type nodeMaker struct {
	root    *root
	label   string // linux.mountLabel
	scratch int    // a directory for nodes to bind; -1: there is none
	count   int    // of the nodes in scratch
}

// fillDev makes the device nodes, and the links of /dev. Everything is relative
// to /dev as it is inside the root, wherever the image's /dev points
// (CVE-2026-41579).
func (n *nodeMaker) fillDev(devices []device) error {
	dev, err := n.root.open("/dev", false)
	if err != nil {
		return fmt.Errorf("open /dev: %w", err)
	}
	defer sys.Close(dev.fd)
	if n.root.users != nil {
		err = n.withNodes(func() error { return n.makeAll(dev.fd, devices) })
	} else {
		err = n.makeAll(dev.fd, devices)
	}
	if err != nil {
		return err
	}
	return n.root.users.withRootRights(dev.fd, func() error { return linkDev(dev.fd) })
}

func (n *nodeMaker) makeAll(devDir int, devices []device) error {
	for i := range devices {
		if err := n.make(devDir, &devices[i]); err != nil {
			return fmt.Errorf("make device %s: %w", devices[i].path, err)
		}
	}
	return nil
}

// make makes one node. It binds one instead in a user namespace, where none can be
// made, and where mknod is denied.
func (n *nodeMaker) make(devDir int, d *device) error {
	dir, name := path.Split(d.path)
	if dir != "/dev/" {
		t, err := n.root.open(path.Clean(dir), false)
		if err != nil {
			return err
		}
		defer sys.Close(t.fd)
		devDir = t.fd
	}
	fifo := d.mode&unix.S_IFMT == unix.S_IFIFO
	if n.root.users != nil && !fifo {
		return n.bind(devDir, name, d)
	}
	err := n.root.users.withRootRights(devDir, func() error { return sys.MknodAt(devDir, name, d.mode, d.dev) })
	switch {
	case err == nil && d.uid == 0 && d.gid == 0:
		return nil
	case err == nil:
		return n.own(devDir, name, d)
	case exists(err):
		fd, err := openDevice(devDir, name, d)
		sys.Close(fd)
		if err != nil && !fifo && nodesDenied(devDir) {
			return n.bind(devDir, name, d)
		}
		return err
	case errors.Is(err, unix.EPERM):
		return n.bind(devDir, name, d)
	}
	return err
}

// own gives a new node its owner.
func (n *nodeMaker) own(dir int, name string, d *device) error {
	fd, err := openDevice(dir, name, d)
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	return n.root.users.chown(fd, d.uid, d.gid)
}
