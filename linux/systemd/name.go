// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"fmt"
	"path"
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
	// Empty tells whether the scope's cgroup has no process. A unit of its name is then
	// one whose end systemd has missed, as it may while it executes itself anew.
	Empty func() bool

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
				dir = path.Join(dir, name[:i]+".slice")
			}
		}
	}
	return path.Join(dir, s.Unit)
}

// isUnit tells whether systemd takes the name (systemd.unit(5)).
func isUnit(name string) bool {
	const others = `:-_.\`
	return len(name) < 256 && !strings.ContainsFunc(name, func(r rune) bool {
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
