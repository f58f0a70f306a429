// SPDX-License-Identifier: Apache-2.0

package mount

import (
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

// defaultDevices lists the nodes of every container (runtime-linux.md, "Default
// Devices") but for console and ptmx, which are made elsewhere.
var defaultDevices = []device{
	{path: "/dev/null", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 3},
	{path: "/dev/zero", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 5},
	{path: "/dev/full", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 7},
	{path: "/dev/random", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 8},
	{path: "/dev/urandom", mode: unix.S_IFCHR | 0o666, dev: 1<<8 | 9},
	{path: "/dev/tty", mode: unix.S_IFCHR | 0o666, dev: 5 << 8},
}

// deviceTypes holds the values of linux.devices[].type.
var deviceTypes = map[string]uint32{
	"c": unix.S_IFCHR,
	"u": unix.S_IFCHR,
	"b": unix.S_IFBLK,
	"p": unix.S_IFIFO,
}

// compileDevices returns the default devices that the spec does not list itself,
// then the spec's.
func compileDevices(listed []specs.LinuxDevice) (devices []device, err error) {
	own := map[string]bool{}
	var theirs []device
	for i := range listed {
		d, err := compileDevice(fmt.Sprintf("linux.devices[%d]", i), &listed[i])
		if err != nil {
			return nil, err
		}
		own[d.path] = true
		if d.path != "/dev/ptmx" { // always the link to the container's own
			theirs = append(theirs, d)
		}
	}
	for _, d := range defaultDevices {
		if !own[d.path] {
			devices = append(devices, d)
		}
	}
	return append(devices, theirs...), nil
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
	dev := device{
		path: path.Clean("/" + d.Path),
		mode: kind | 0o666,
		dev:  unix.Mkdev(uint32(d.Major), uint32(d.Minor)),
	}
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

// openDevice opens a node as O_PATH and checks that it is the device: the spec wants
// an error when something else is in its place.
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

// check returns ErrExist for a file that is not the device.
func (d *device) check(st unix.Stat_t) error {
	kind := d.mode & unix.S_IFMT
	if st.Mode&unix.S_IFMT != kind || kind != unix.S_IFIFO && uint64(st.Rdev) != d.dev {
		return fmt.Errorf("another file is in its place: %w", unix.EEXIST)
	}
	return nil
}
