// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Hierarchy is the host's cgroup2 tree. It is safe for concurrent use and holds one
// directory descriptor until Close.
type Hierarchy struct {
	// Mountpoint is where the tree is mounted, for humans and for binding it
	// into a container.
	Mountpoint string
	// Unified is false on a host that has cgroup v1 controllers as well.
	Unified bool
	// Controllers lists what the tree's root offers.
	Controllers Controllers

	dir   *os.File              // the mountpoint, O_PATH
	mount func() (mount, error) // read when it is asked for first
}

// OpenHierarchy opens the host's cgroup2 tree: at /sys/fs/cgroup on a unified
// host, else wherever it is mounted (on a hybrid host usually at
// /sys/fs/cgroup/unified). ErrNotImplemented: the host has cgroup v1 alone.
func OpenHierarchy() (*Hierarchy, error) {
	mountpoint, err := findMount()
	if err != nil {
		return nil, err
	}
	dir, err := openDir(nil, mountpoint)
	if err != nil {
		return nil, err
	}
	data, err := readFile(dir, "cgroup.controllers")
	if err != nil {
		dir.Close()
		return nil, err
	}
	return &Hierarchy{
		Mountpoint:  mountpoint,
		Unified:     mountpoint == unifiedMount,
		Controllers: parseControllers(string(data)),
		dir:         dir,
		mount:       sync.OnceValues(func() (mount, error) { return readMount(mountpoint) }),
	}, nil
}

// Close closes the directory. Groups stay usable, except for Delete.
func (h *Hierarchy) Close() error { return h.dir.Close() }

const (
	unifiedMount = "/sys/fs/cgroup"
	hybridMount  = "/sys/fs/cgroup/unified"
)

// findMount looks at the two usual places before it reads mountinfo, which is
// long on a busy node.
func findMount() (string, error) {
	for _, path := range []string{unifiedMount, hybridMount} {
		var fs unix.Statfs_t
		if unix.Statfs(path, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return path, nil
		}
	}
	m, err := readMount("")
	return m.point, err
}

// readMount returns a cgroup2 mount of the shim's own mountinfo.
func readMount(point string) (mount, error) {
	f, err := sys.OpenProc("self/mountinfo", unix.O_RDONLY)
	if err != nil {
		return mount{}, err
	}
	defer f.Close()
	return find(f, point)
}

// mount is a cgroup2 mount.
type mount struct {
	point string // where it is mounted
	root  string // the cgroup that is its root, "/" unless it is a bind mount
}

// find returns the cgroup2 mount at point in a mountinfo file, or the first one if there
// is none at point. Of several there it returns the last, which hides the others.
// ErrNotImplemented: the file has no cgroup2 mount.
func find(mountinfo io.Reader, point string) (mount, error) {
	all, err := sys.ReadMountinfo(mountinfo)
	if err != nil {
		return mount{}, err
	}
	var first, found mount
	for _, m := range all {
		if m.Type != "cgroup2" {
			continue
		}
		if first.point == "" {
			first = mount{m.Path, m.Root}
		}
		if m.Path == point {
			found = mount{m.Path, m.Root}
		}
	}
	if found.point == "" {
		found = first
	}
	if found.point != "" {
		return found, nil
	}
	const why = "there is none, and cgroup v1 alone is not supported"
	return mount{}, fmt.Errorf("find the cgroup2 mount: %s: %w", why, errdefs.ErrNotImplemented)
}

// own returns the shim's own cgroup below the mount.
func (h *Hierarchy) own() (string, error) { return h.pathOf("self") }

// openOf opens the cgroup that a process is in. The caller closes it.
func (h *Hierarchy) openOf(pid int) (*os.File, error) {
	p, err := h.pathOf(strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	return openDir(h.dir, path.Join(".", p))
}

// pathOf returns the cgroup, below the mount, of a process that is given as a directory
// of procfs.
func (h *Hierarchy) pathOf(process string) (string, error) {
	m, err := h.mount()
	if err != nil {
		return "", err
	}
	f, err := sys.OpenProc(process+"/cgroup", unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	p, err := parseProcCgroup(string(data))
	return below(m.root, p), err
}

// parseProcCgroup returns the cgroup2 path of a /proc/PID/cgroup file.
func parseProcCgroup(data string) (string, error) {
	for line := range strings.Lines(data) {
		if path, ok := strings.CutPrefix(line, "0::/"); ok {
			return "/" + strings.TrimSuffix(strings.TrimSuffix(path, "\n"), " (deleted)"), nil
		}
	}
	return "", fmt.Errorf("read /proc/PID/cgroup: no line of cgroup2: %w", errdefs.ErrNotFound)
}

// below returns path as seen from root, or path itself when it is not below root.
func below(root, path string) string {
	if rest, ok := strings.CutPrefix(path, root); ok && (root == "/" || rest == "" || rest[0] == '/') {
		return "/" + strings.TrimPrefix(rest, "/")
	}
	return path
}
