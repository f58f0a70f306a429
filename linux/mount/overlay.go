// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// mountData is the number of bytes that mount(2) takes as data: a page with its NUL
// (fs/namespace.c, copy_mount_options).
var mountData = os.Getpagesize() - 1

// mountOverlay mounts an overlay of any number of layers with mount(2): by their
// names, by names relative to their common directory if those do not fit, and
// by descriptors if those do not fit either. fsconfig's lowerdir+ would need
// Linux 6.8.
//
// Precondition: the thread has unshared CLONE_FS. Its working directory changes.
func mountOverlay(source string, target int, o *options) error {
	name := procPath(target)
	data := strings.Join(o.data, ",")
	if len(data) <= mountData {
		return sys.Mount(source, name, "overlay", o.legacyFlags(), data)
	}
	dir, rest := compact(o.data)
	if dir != "" {
		if err := sys.Chdir(dir); err != nil {
			return err
		}
		data = strings.Join(rest, ",")
		if len(data) <= mountData {
			return sys.Mount(source, name, "overlay", o.legacyFlags(), data)
		}
	}
	rest, opened, err := layersByDescriptor(rest)
	defer func() {
		for _, fd := range opened {
			sys.Close(fd)
		}
	}()
	if err != nil {
		return err
	}
	if err := sys.Chdir("/proc/self/fd"); err != nil {
		return err
	}
	return sys.Mount(source, name, "overlay", o.legacyFlags(), strings.Join(rest, ","))
}

// layersByDescriptor opens the layers, and names each by the number of its
// descriptor, which is its name in /proc/self/fd. The caller closes them, also after
// an error.
func layersByDescriptor(data []string) (named []string, opened []int, err error) {
	for _, d := range data {
		list, ok := strings.CutPrefix(d, "lowerdir=")
		if !ok {
			named = append(named, d)
			continue
		}
		parts := splitLayers(list)
		for i, name := range parts {
			if name == ":" {
				continue
			}
			fd, err := sys.OpenAt(unix.AT_FDCWD, name, unix.O_PATH|unix.O_DIRECTORY)
			if err != nil {
				return nil, opened, err
			}
			opened = append(opened, fd)
			parts[i] = strconv.Itoa(fd)
		}
		named = append(named, "lowerdir="+strings.Join(parts, ""))
	}
	return named, opened, nil
}
