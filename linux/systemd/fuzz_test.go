// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"path"
	"strings"
	"testing"
)

// FuzzScope checks that the cgroup of a valid name is below its slices, and that an
// annotation is a property or an error.
func FuzzScope(f *testing.F) {
	f.Add("kubepods-burstable.slice:cri:id", "id", "TimeoutStopSec", "uint64 5")
	f.Add("", "id", "CollectMode", "'inactive-or-failed'")
	f.Add("-.slice:a:b", "id", "X", "[('a', <1>)]")
	f.Add("a..slice:..:..", "..", "ABC", "@as []")
	f.Add(":x:y.slice", "/", "MemoryMaxSec", "1e300")
	f.Fuzz(func(t *testing.T, cgroupsPath, id, name, text string) {
		s, err := NewScope(cgroupsPath, id, map[string]string{AnnotationPrefix + name: text})
		if err != nil {
			if s != nil && len(s.properties) > 0 {
				t.Errorf("%q: properties beside %v", text, err)
			}
			return
		}
		at := s.Path()
		if !path.IsAbs(at) || path.Clean(at) != at || !strings.HasSuffix(at, ".scope") {
			t.Errorf("%q is %q", cgroupsPath, at)
		}
		parts := strings.Split(at[1:], "/")
		for _, slice := range parts[:len(parts)-1] {
			if !isSlice(slice) {
				t.Errorf("%q is in %q", cgroupsPath, slice)
			}
		}
		if len(s.properties) != 1 {
			t.Errorf("%d properties", len(s.properties))
		}
	})
}

// FuzzLimits reads arbitrary content of the files.
func FuzzLimits(f *testing.F) {
	for _, file := range Files() {
		f.Add(file, "max 100000\n")
		f.Add(file, "0-2,65535")
		f.Add(file, "default 1\n8:0 5")
	}
	f.Fuzz(func(t *testing.T, file, text string) {
		known := false
		for _, name := range Files() {
			known = known || name == file
		}
		if !known {
			return
		}
		var l Limits
		if err := l.Add(file, text); err == nil && len(l) > 2 {
			t.Errorf("%d properties of %s", len(l), file)
		}
	})
}
