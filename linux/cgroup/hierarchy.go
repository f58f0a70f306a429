// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd-mini/mini/linux/sys"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Hierarchy is the host's cgroup2 tree. Safe for concurrent use. It holds one
// directory descriptor until Close.
type Hierarchy struct {
	// Mountpoint is where the tree is mounted, for humans and for binding it
	// into a container.
	Mountpoint string
	// Unified is false on a host that has cgroup v1 controllers as well.
	Unified bool
	// Controllers are those that the tree's root offers.
	Controllers Controllers

	dir   *os.File              // the mountpoint, O_PATH
	mount func() (Mount, error) // read when it is asked for first
}

// OpenHierarchy opens the host's cgroup2 tree: at /sys/fs/cgroup on a unified
// host, else wherever it is mounted (hybrid, /sys/fs/cgroup/unified as a rule).
// A host without one, that is, with cgroup v1 alone, is refused with
// ErrNotImplemented.
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
		Controllers: ParseControllers(string(data)),
		dir:         dir,
		mount:       sync.OnceValues(func() (Mount, error) { return readMount(mountpoint) }),
	}, nil
}

// Close gives back the directory. Groups stay usable, but for Delete.
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
	return m.Point, err
}

// readMount is Find in the shim's own mountinfo.
func readMount(point string) (Mount, error) {
	f, err := sys.OpenProc("self/mountinfo", unix.O_RDONLY)
	if err != nil {
		return Mount{}, err
	}
	defer f.Close()
	return Find(f, point)
}

// Mount is a cgroup2 mount as mountinfo tells of it.
type Mount struct {
	Point string // where it is mounted
	Root  string // the cgroup that is its root, "/" unless it is a bind mount
}

// Find returns a cgroup2 mount in a mountinfo file (proc_pid_mountinfo(5)): the one at
// point, of several there the last, which hides the others, or else the first one.
// ErrNotImplemented: there is none.
func Find(mountinfo io.Reader, point string) (Mount, error) {
	// ID parent major:minor root mountpoint options [tag...] - type source super
	var first, found Mount
	s := bufio.NewScanner(mountinfo)
	s.Buffer(nil, 1<<20) // an overlay's options can be long
	for s.Scan() {
		before, after, ok := strings.Cut(s.Text(), " - ")
		f := strings.Fields(before)
		if !ok || !strings.HasPrefix(after, "cgroup2 ") || len(f) < 5 {
			continue
		}
		m := Mount{Point: unescape(f[4]), Root: unescape(f[3])}
		if first.Point == "" {
			first = m
		}
		if m.Point == point {
			found = m
		}
	}
	if err := s.Err(); err != nil {
		return Mount{}, fmt.Errorf("read mountinfo: %w", err)
	}
	if found.Point == "" {
		found = first
	}
	if found.Point != "" {
		return found, nil
	}
	return Mount{}, fmt.Errorf("find the cgroup2 mount: there is none, and cgroup v1 alone is not supported: %w", errdefs.ErrNotImplemented)
}

// unescape undoes mountinfo's \ooo for space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(s)
}

// own is the shim's own cgroup below the mount.
func (h *Hierarchy) own() (string, error) { return h.pathOf("self") }

// openOf opens the cgroup that a process is in. The caller closes it.
func (h *Hierarchy) openOf(pid int) (*os.File, error) {
	p, err := h.pathOf(strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	return openDir(h.dir, path.Join(".", p))
}

// pathOf is the cgroup of a process, given as a directory of procfs, below the
// mount.
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
	return below(m.Root, p), err
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

// below is path as seen from root; path itself when it is not below root.
func below(root, path string) string {
	if rest, ok := strings.CutPrefix(path, root); ok && (root == "/" || rest == "" || rest[0] == '/') {
		return "/" + strings.TrimPrefix(rest, "/")
	}
	return path
}
