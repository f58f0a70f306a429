// SPDX-License-Identifier: Apache-2.0

package host

import "strings"

// split cuts a path at its last slash; dir is never empty. Neither this package nor the
// others that run early use path and path/filepath, which are among the last packages to
// be initialised.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	switch i {
	case -1:
		return ".", path
	case 0:
		return "/", path[1:]
	}
	return path[:i], path[i+1:]
}
