// SPDX-License-Identifier: Apache-2.0

package warm_test

import (
	"runtime"
	"testing"

	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/warm"
	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/oci"
)

// What was learned is seen by what it would have taken.
func TestSpec(t *testing.T) {
	testenv.Subprocess(t, 0, func(t *testing.T) {
		<-warm.Spec()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := oci.Decode([]byte(`{"linux":{"resources":{"cpu":{}},"seccomp":{}},"process":{"args":["x"]}}`)); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<10 {
			t.Errorf("the first specification after it took %d bytes", n)
		}
	})
}
