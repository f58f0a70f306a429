// SPDX-License-Identifier: Apache-2.0

package resctrl

import (
	"bytes"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// defaultRoot is where resctrl is usually mounted.
const defaultRoot = "/sys/fs/resctrl"

// Root returns where resctrl is mounted, or ErrNotImplemented.
func Root() (string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(defaultRoot, &fs); err == nil && fs.Type == unix.RDTGROUP_SUPER_MAGIC {
		return defaultRoot, nil
	}
	info, err := sys.ReadProc("self/mountinfo")
	if err != nil {
		return "", err
	}
	at, err := mountOf(info, "resctrl")
	if at == "" && err == nil {
		err = fmt.Errorf("no resctrl file system is mounted: %w", errdefs.ErrNotImplemented)
	}
	return at, err
}

// mountOf returns where a file system of a type is mounted first, as a whole; "": nowhere.
func mountOf(info []byte, fstype string) (string, error) {
	all, err := sys.ReadMountinfo(bytes.NewReader(info))
	if err != nil {
		return "", err
	}
	for _, m := range all {
		if m.Type == fstype && m.Root == "/" {
			return m.Path, nil
		}
	}
	return "", nil
}
