// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Scope is a container's scope unit.
type Scope struct {
	ID    string // of the container, for the unit's description
	Slice string // "kubepods-burstable.slice"
	Unit  string // "cri-containerd-ID.scope"
	// OOMPolicy is "kill" for 1 in memory.oom.group and "continue" for 0. "" is
	// systemd's default, which means 0. Scopes have it since systemd 253. It cannot be
	// changed after Start.
	OOMPolicy string
	// Empty reports whether the cgroup at a path has no process. An existing unit of
	// the scope's name without processes is one whose end systemd missed, as it may
	// while it re-executes itself.
	Empty func(path string) bool

	properties []property // of annotations
}

// IsName reports whether linux.cgroupsPath has the form slice:prefix:name, which asks for
// systemd, and is no path. containerd's CRI plugin uses that form if the kubelet uses
// systemd, whatever the runtime's options say.
func IsName(cgroupsPath string) bool {
	return strings.Count(cgroupsPath, ":") == 2 && !strings.Contains(cgroupsPath, "/")
}

// NewScope reads linux.cgroupsPath in the form slice:prefix:name. An empty slice means
// system.slice. An empty path means mini-ID.scope in system.slice. Annotations
// org.systemd.property.NAME are properties of the scope in GVariant's text form.
func NewScope(cgroupsPath, id string, annotations map[string]string) (*Scope, error) {
	if cgroupsPath == "" {
		cgroupsPath = ":mini:" + id
	}
	invalid := func(why string) error {
		return fmt.Errorf("linux.cgroupsPath %q: %s: %w", cgroupsPath, why, errdefs.ErrInvalidArgument)
	}
	if !IsName(cgroupsPath) {
		return nil, invalid("not of the form slice:prefix:name, which systemd needs")
	}
	parts := strings.Split(cgroupsPath, ":")
	s := &Scope{ID: id, Slice: parts[0], Unit: parts[1] + "-" + parts[2] + ".scope"}
	if s.Slice == "" {
		s.Slice = "system.slice"
	}
	switch {
	case parts[2] == "":
		return nil, invalid("no name")
	case strings.HasSuffix(parts[2], ".slice"):
		return nil, invalid("a slice holds no processes")
	case !isUnit(s.Unit):
		return nil, invalid(s.Unit + " is not a unit's name")
	case !isSlice(s.Slice):
		return nil, invalid(s.Slice + " is not a slice's name")
	}
	var err error
	s.properties, err = fromAnnotations(annotations)
	return s, err
}

// Path returns the scope's cgroup below the cgroup2 mount. The name of a slice says where
// it is: a-b.slice is in a.slice (systemd.slice(5)).
func (s *Scope) Path() string {
	dir := "/"
	if name := strings.TrimSuffix(s.Slice, ".slice"); name != "-" {
		for i, c := range name + "-" {
			if c == '-' {
				dir = path.Join(dir, directory(name[:i]+".slice"))
			}
		}
	}
	return path.Join(dir, directory(s.Unit))
}

// kernelPrefixes lists how names of cgroup files begin, up to the dot, for the
// controllers that systemd knows.
var kernelPrefixes = []string{
	"cgroup", "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids", "bpf-firewall", "bpf-devices",
	"bpf-foreign", "bpf-socket-bind", "bpf-restrict-network-interfaces", "bpf-bind-network-interface",
}

// directory returns the name of a unit's cgroup below that of its slice. systemd puts an
// underscore before a name that could be a file of the kernel, and before a name that
// begins with an underscore (cg_escape in src/basic/cgroup-util.c). systemd 252 does not do
// so if more than the unit's type follows a controller's name; then Manager.Cgroup knows.
func directory(unit string) string {
	first, _, _ := strings.Cut(unit, ".")
	if unit[0] == '_' || unit[0] == '.' || slices.Contains(kernelPrefixes, first) {
		return "_" + unit
	}
	return unit
}

// maxUnit is the longest name of a unit whose limits survive a daemon-reload. systemd
// keeps limits in files in NAME.d and reports no error if it cannot. It accepts names that
// are two letters longer.
const maxUnit = 253

// isUnit reports whether systemd accepts the name for a scope or slice (systemd.unit(5)).
// It does not accept names with an @, which are instances of a template.
func isUnit(name string) bool {
	const others = `:-_.\`
	return len(name) <= maxUnit && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(others, r)
	})
}

func isSlice(name string) bool {
	base, ok := strings.CutSuffix(name, ".slice")
	switch {
	case !ok || base == "" || !isUnit(name):
		return false
	case base == "-":
		return true
	}
	return !strings.HasPrefix(base, "-") && !strings.HasSuffix(base, "-") && !strings.Contains(base, "--")
}
