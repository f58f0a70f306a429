// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"path"
	"strings"
)

// splitLayers splits the value of lowerdir into names and the colons between them. A
// backslash keeps a colon in a name (overlayfs.rst).
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

// compact makes the layers relative to their common directory, so that their names are
// shorter. dir must be the working directory of the mount call. Upper and work directory
// stay as they are. dir is empty when the layers have no directory in common.
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
