// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// mountData is how many bytes mount(2) takes as data: a page with its NUL
// (fs/namespace.c, copy_mount_options).
var mountData = os.Getpagesize() - 1

// mountOverlay mounts an overlay of any number of layers: with mount(2), with
// layer paths relative to their common directory when they do not fit, and layer
// by layer with fsconfig's lowerdir+ (Linux 6.8) when those do not fit either.
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
	tree, err := overlayByLayer(source, rest, o)
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	return sys.MoveMount(tree, target)
}

// overlayByLayer makes an overlay with one fsconfig(2) for each layer.
func overlayByLayer(source string, data []string, o *options) (int, error) {
	layered := *o
	layered.data = nil
	for _, d := range data {
		list, ok := strings.CutPrefix(d, "lowerdir=")
		if !ok {
			layered.data = append(layered.data, d)
			continue
		}
		layers, err := splitLayers(list)
		if err != nil {
			return -1, err
		}
		layered.data = append(layered.data, layers...)
	}
	b, fits := superblock("overlay", source, "/", &layered, false)
	if !fits {
		return -1, &os.SyscallError{Syscall: "fsconfig", Err: unix.ENAMETOOLONG}
	}
	return b.make()
}

// splitLayers turns the value of lowerdir into parameters for one layer each. A
// double colon comes before layers that hold data only; a backslash keeps a colon
// in a name, and fsconfig takes the name without it (overlayfs.rst).
func splitLayers(list string) ([]string, error) {
	var params []string
	key := "lowerdir+="
	var name strings.Builder
	flush := func() {
		if name.Len() > 0 {
			params = append(params, key+name.String())
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
			if i+1 < len(list) && list[i+1] == ':' {
				key = "datadir+="
				i++
			}
		default:
			name.WriteByte(c)
		}
	}
	flush()
	if len(params) == 0 {
		return nil, errors.New("lowerdir names no layer")
	}
	return params, nil
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
