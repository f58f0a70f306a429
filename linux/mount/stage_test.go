// SPDX-License-Identifier: Apache-2.0

package mount

import "testing"

func TestAnyAbove(t *testing.T) {
	dirs := map[string]bool{"/run": true, "/a/b": true}
	for p, want := range map[string]bool{
		"/run": false, "/run/x": true, "/run/x/y": true, "/runs/x": false,
		"/a": false, "/a/b": false, "/a/b/c": true, "/a/bc": false, "/": false,
	} {
		if got := anyAbove(dirs, p); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
	if !anyAbove(map[string]bool{"/": true}, "/x") {
		t.Error("/x is not below /")
	}
}
