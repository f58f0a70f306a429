// SPDX-License-Identifier: Apache-2.0

package resctrl

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

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
	if at := mountOf(info, "resctrl"); at != "" {
		return at, nil
	}
	return "", fmt.Errorf("no resctrl file system is mounted: %w", errdefs.ErrNotImplemented)
}

// mountOf returns the first mount point of a file system type in mountinfo
// (proc_pid_mountinfo(5)): field 5; the type follows a dash.
func mountOf(info []byte, fstype string) string {
	for s := bufio.NewScanner(bytes.NewReader(info)); s.Scan(); {
		head, tail, _ := strings.Cut(s.Text(), " - ")
		f := strings.Fields(head)
		if len(f) > 4 && strings.HasPrefix(tail, fstype+" ") {
			return f[4]
		}
	}
	return ""
}
