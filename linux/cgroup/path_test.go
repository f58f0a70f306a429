// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestPathOfASpec(t *testing.T) {
	own := func() (string, error) { return "/system.slice/containerd.service", nil }
	for _, c := range []struct {
		cgroupsPath, id, want string
		err                   error
	}{
		{"/default/c1", "c1", "/default/c1", nil},
		{"/a//b/./c/", "c1", "/a/b/c", nil},
		{"a/b", "c1", "/system.slice/a/b", nil},
		{"", "c1", "/system.slice/c1", nil},
		{"/kubepods/pod:1/x", "c1", "/kubepods/pod:1/x", nil},
		{"/a/..b/c..", "c1", "/a/..b/c..", nil},
		{"/a/../../b", "c1", "", errdefs.ErrInvalidArgument},
		{"../b", "c1", "", errdefs.ErrInvalidArgument},
		{"/", "c1", "", errdefs.ErrInvalidArgument},
		{"/./", "c1", "", errdefs.ErrInvalidArgument},
		{"/a\nb", "c1", "", errdefs.ErrInvalidArgument},
		{"/a\x00b", "c1", "", errdefs.ErrInvalidArgument},
	} {
		got, err := resolve(c.cgroupsPath, c.id, own)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("resolve(%q, %q) = %q, %v; want %q, %v", c.cgroupsPath, c.id, got, err, c.want, c.err)
		}
	}
}

// A path at the root of the hierarchy is beside the shim there, not above it.
func TestPathOfAShimInTheRoot(t *testing.T) {
	got, err := resolve("a", "c1", func() (string, error) { return "/", nil })
	if got != "/a" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/default/c1", "a/../..", "", "slice:a:b", "//", "/.../x"} {
		f.Add(s, "id")
	}
	f.Fuzz(func(t *testing.T, cgroupsPath, id string) {
		got, err := resolve(cgroupsPath, id, func() (string, error) { return "/own/shim", nil })
		if err != nil {
			return
		}
		if !path.IsAbs(got) || path.Clean(got) != got || got == "/" {
			t.Errorf("resolve(%q, %q) = %q", cgroupsPath, id, got)
		}
		if !path.IsAbs(cgroupsPath) && cgroupsPath != "" && !strings.HasPrefix(got, "/own/") {
			t.Errorf("resolve(%q, %q) = %q is not beside the shim", cgroupsPath, id, got)
		}
	})
}
