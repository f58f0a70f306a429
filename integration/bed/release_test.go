// SPDX-License-Identifier: Apache-2.0

package bed

import "testing"

func TestRelease(t *testing.T) {
	for text, want := range map[string]Release{
		"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3": {1, 6},
		"containerd github.com/containerd/containerd 1.7.35+unknown ":                 {1, 7},
		"containerd github.com/containerd/containerd/v2 v2.10.2 abcdef\n":             {2, 10},
	} {
		if got, err := parseRelease(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "containerd", "containerd github.com/containerd/containerd/v2 unknown"} {
		if r, err := parseRelease(text); err == nil {
			t.Errorf("%q is release %v", text, r)
		}
	}
	if r := (Release{2, 0}); r.Before(1, 7) || r.Before(2, 0) || !r.Before(2, 1) || !r.Before(3, 0) {
		t.Errorf("%v is at the wrong place", r)
	}
}
