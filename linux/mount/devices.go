// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// device is a device node or a fifo of the container.
type device struct {
	path     string // clean and absolute
	mode     uint32 // type and permissions
	dev      uint64
	uid, gid uint32 // as the container sees them
}

// defaultDevices are the nodes of every container (runtime-linux.md, "Default
// Devices"); console and ptmx come apart.
var defaultDevices = []device{
	{path: "/dev/null", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 3},
	{path: "/dev/zero", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 5},
	{path: "/dev/full", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 7},
	{path: "/dev/random", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 8},
	{path: "/dev/urandom", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 9},
	{path: "/dev/tty", mode: unix.S_IFCHR | 0o666, dev: 5 << 8},
}

// deviceTypes are the values of linux.devices[].type.
var deviceTypes = map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}

// compileDevices lists the default devices that the spec does not list itself,
// then the spec's.
func (s *Set) compileDevices(listed []specs.LinuxDevice) error {
	own := map[string]bool{}
	var devices []device
	for i := range listed {
		d, err := compileDevice(fmt.Sprintf("linux.devices[%d]", i), &listed[i])
		if err != nil {
			return err
		}
		own[d.path] = true
		if d.path != "/dev/ptmx" { // always the link to the container's own
			devices = append(devices, d)
		}
	}
	for _, d := range defaultDevices {
		if !own[d.path] {
			s.devices = append(s.devices, d)
		}
	}
	s.devices = append(s.devices, devices...)
	return nil
}

func compileDevice(field string, d *specs.LinuxDevice) (device, error) {
	kind, ok := deviceTypes[d.Type]
	switch {
	case !ok:
		return device{}, invalid(field+".type", "%q is none of c, b, u, p", d.Type)
	case d.Path == "" || path.Clean("/"+d.Path) == "/":
		return device{}, invalid(field+".path", "%q", d.Path)
	case d.Major < 0 || d.Minor < 0 || d.Major > 1<<12-1 || d.Minor > 1<<20-1:
		// MAJOR and MINOR have 12 and 20 bits (include/linux/kdev_t.h).
		return device{}, invalid(field, "%d:%d is no device number", d.Major, d.Minor)
	}
	dev := device{path: path.Clean("/" + d.Path), mode: kind | 0o666, dev: unix.Mkdev(uint32(d.Major), uint32(d.Minor))}
	if kind == unix.S_IFIFO {
		dev.dev = 0
	}
	if d.FileMode != nil {
		dev.mode = kind | uint32(*d.FileMode)&0o7777
	}
	if d.UID != nil {
		dev.uid = *d.UID
	}
	if d.GID != nil {
		dev.gid = *d.GID
	}
	return dev, nil
}

// fillDev makes the device nodes, and the links of /dev. Everything is relative
// to /dev as it is inside the root, wherever the image's /dev points
// (CVE-2026-41579).
func (s *Set) fillDev() error {
	dev, err := s.open("/dev", false)
	if err != nil {
		return fmt.Errorf("open /dev: %w", err)
	}
	defer sys.Close(dev.fd)
	makeAll := func() error { return s.makeDevices(dev.fd) }
	if s.c.UserNS {
		err = s.bindDevices(makeAll)
	} else {
		err = makeAll()
	}
	if err != nil {
		return err
	}
	return s.making(dev.fd, func() error { return linkDev(dev.fd) })
}

func (s *Set) makeDevices(devDir int) error {
	for i := range s.devices {
		if err := s.makeDevice(devDir, &s.devices[i]); err != nil {
			return fmt.Errorf("make device %s: %w", s.devices[i].path, err)
		}
	}
	return nil
}

// makeDevice makes one node. In a user namespace, which can not make any, and
// where mknod is denied, one is bound instead.
func (s *Set) makeDevice(devDir int, d *device) error {
	dir, name := path.Split(d.path)
	if dir != "/dev/" {
		t, err := s.open(path.Clean(dir), false)
		if err != nil {
			return err
		}
		defer sys.Close(t.fd)
		devDir = t.fd
	}
	if s.c.UserNS && d.mode&unix.S_IFMT != unix.S_IFIFO {
		return s.bindDevice(devDir, name, d)
	}
	err := s.making(devDir, func() error { return sys.MknodAt(devDir, name, d.mode, d.dev) })
	switch {
	case err == nil && d.uid == 0 && d.gid == 0:
		return nil
	case err == nil:
		return s.ownDevice(devDir, name, d)
	case exists(err):
		fd, err := openDevice(devDir, name, d)
		sys.Close(fd)
		if err != nil && d.mode&unix.S_IFMT != unix.S_IFIFO && nodesDenied(devDir) {
			return s.bindDevice(devDir, name, d)
		}
		return err
	case errors.Is(err, unix.EPERM):
		return s.bindDevice(devDir, name, d)
	}
	return err
}

// ownDevice gives a new node its owner.
func (s *Set) ownDevice(dir int, name string, d *device) error {
	fd, err := openDevice(dir, name, d)
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	if s.c.UserNS {
		return s.chownInside(fd, d.uid, d.gid)
	}
	return sys.Chown(fd, d.uid, d.gid)
}

// chownInside changes the owner of a file to ids of the container's user namespace.
func (s *Set) chownInside(fd int, uid, gid uint32) error {
	hostUID, ok1 := mapID(s.c.UIDs, uid)
	hostGID, ok2 := mapID(s.c.GIDs, gid)
	if !ok1 || !ok2 {
		return fmt.Errorf("owner %d:%d is not mapped: %w", uid, gid, unix.EINVAL)
	}
	return sys.Chown(fd, hostUID, hostGID)
}

// mapID is the host's number for a container's id.
func mapID(maps []specs.LinuxIDMapping, id uint32) (uint32, bool) {
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + (id - m.ContainerID), true
		}
	}
	return 0, false
}

// openDevice opens a node as O_PATH and makes sure that it is the one asked for:
// the spec wants an error when something else is in its place.
func openDevice(dir int, name string, d *device) (int, error) {
	fd, err := sys.OpenAt(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return -1, err
	}
	st, err := sys.Stat(fd)
	if err == nil {
		err = d.check(st)
	}
	if err != nil {
		sys.Close(fd)
		return -1, err
	}
	return fd, nil
}

// check is ErrExist for a file that is not the device.
func (d *device) check(st unix.Stat_t) error {
	if kind := d.mode & unix.S_IFMT; st.Mode&unix.S_IFMT != kind || kind != unix.S_IFIFO && uint64(st.Rdev) != d.dev {
		return fmt.Errorf("another file is in its place: %w", unix.EEXIST)
	}
	return nil
}
