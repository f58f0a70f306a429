// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"testing"
)

// A created container waits for its start with none of the shim's descriptors:
// it would keep containerd from seeing the shim's death, and readers of other
// containers' streams from seeing their end.
func TestACreatedContainerHoldsNothingOfTheShim(t *testing.T) {
	onRig(t, func(r *rig) {
		end, write, err := os.Pipe()
		r.must(err)
		c := r.create(Stdio{}, "true")
		r.must(write.Close())
		if got := readAll(r.TB, end); got != "" {
			r.Errorf("got %q", got)
		}
		r.must(end.Close())
		r.must(c.Close(r.Context()))
	})
}
