// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// mountData is how many bytes mount(2) takes as data: a page with its NUL
// (fs/namespace.c, copy_mount_options).
var mountData = os.Getpagesize() - 1

// mountOverlay mounts an overlay of any number of layers with mount(2): by their
// names, by names relative to their common directory when those do not fit, and
// by descriptors when those do not fit either. That needs no kernel newer than
// the others do, as fsconfig's lowerdir+ (Linux 6.8) would.
//
// Precondition: the thread has unshared CLONE_FS; its working directory changes.
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
// descriptor, which is its name in /proc/self/fd. The caller closes them, after an
// error too.
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

// splitLayers turns the value of lowerdir into names and, as they are, the colons
// between them. A backslash keeps a colon in a name (overlayfs.rst).
func splitLayers(list string) (parts []string) {
	var name strings.Builder
	flush := func() {
		if name.Len() > 0 {
			parts = append(parts, name.String())
			name.Reset()
		}
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && i+1 < len(list):
			i++
			name.WriteByte(list[i])
		case c == ':':
			flush()
			parts = append(parts, ":")
		default:
			name.WriteByte(c)
		}
	}
	flush()
	return parts
}

// compact makes the layers relative to their common directory, for less to pass:
// dir is to be the working directory of the mount call. Upper and work directory
// stay as they are. dir is empty when there is nothing in common.
func compact(data []string) (dir string, _ []string) {
	at := -1
	for i, d := range data {
		if strings.HasPrefix(d, "lowerdir=/") {
			at = i
		}
	}
	if at < 0 || strings.Contains(data[at], "\\") || strings.Contains(data[at], "::") {
		return "", data
	}
	layers := strings.Split(strings.TrimPrefix(data[at], "lowerdir="), ":")
	dir = path.Dir(layers[0])
	for _, l := range layers {
		for dir != "/" && !strings.HasPrefix(l, dir+"/") {
			dir = path.Dir(dir)
		}
	}
	if dir == "/" || dir == "." {
		return "", data
	}
	rel := make([]string, len(layers))
	for i, l := range layers {
		rel[i] = strings.TrimPrefix(l, dir+"/")
	}
	out := append([]string(nil), data...)
	out[at] = "lowerdir=" + strings.Join(rel, ":")
	return dir, out
}
