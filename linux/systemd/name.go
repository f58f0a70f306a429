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
	// OOMPolicy is "kill" where memory.oom.group is to be 1, "continue" where it is
	// to be 0; "" is systemd's default, and 0. Scopes have it since systemd 253. No
	// later call can change it.
	OOMPolicy string
	// Empty tells whether the cgroup at a path has no process. A unit of the scope's
	// name that is there is then one whose end systemd has missed, as it may while it
	// executes itself anew.
	Empty func(path string) bool

	properties []property // of annotations
}

// IsName tells slice:prefix:name, the form of linux.cgroupsPath that asks for
// systemd, from a path. containerd's CRI plugin sends it to hosts whose kubelet
// uses systemd, whatever the runtime's options say.
func IsName(cgroupsPath string) bool {
	return strings.Count(cgroupsPath, ":") == 2 && !strings.Contains(cgroupsPath, "/")
}

// NewScope reads linux.cgroupsPath in the form slice:prefix:name. An empty slice
// is system.slice; without any path the scope is mini-ID.scope in it. Annotations
// org.systemd.property.NAME are properties for it, in GVariant's text form.
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
	s.properties, err = annotated(annotations)
	return s, err
}

// Path is the scope's cgroup below the cgroup2 mount. A slice's name says where it
// is: a-b.slice is in a.slice (systemd.slice(5)).
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

// kernels are the beginnings, up to a dot, of names that files of a cgroup have, by
// the controllers that systemd knows.
var kernels = []string{
	"cgroup", "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids", "bpf-firewall", "bpf-devices",
	"bpf-foreign", "bpf-socket-bind", "bpf-restrict-network-interfaces", "bpf-bind-network-interface",
}

// directory is the cgroup of a unit below its slice's. systemd puts an underscore
// before a name that could be one of the kernel's files, and before those that begin
// with one (cg_escape of its src/basic/cgroup-util.c). 252 does not do so where
// more than the type follows a controller's name: there Manager.Cgroup knows.
func directory(unit string) string {
	first, _, _ := strings.Cut(unit, ".")
	if unit[0] == '_' || unit[0] == '.' || slices.Contains(kernels, first) {
		return "_" + unit
	}
	return unit
}

// maxUnit is the longest name of a unit whose limits outlast a daemon-reload: systemd
// keeps them in files in NAME.d, and says nothing when it cannot. It takes names that
// are two letters longer.
const maxUnit = 253

// isUnit tells whether systemd takes the name (systemd.unit(5)). Those with an @, which
// are instances of a template, are not for scopes and slices.
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
