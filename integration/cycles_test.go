// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/oci"
)

// TestCycles: hundreds of containers one after another leave nothing behind.
// What one leaves now and then, hundreds show.
func TestCycles(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		cycles := 500
		if !h.mini() || testing.Short() || os.Getenv("MINI_SHIM") == "race" {
			cycles = 20
		}
		c := h.container(oci.WithProcessArgs("true"))
		begin := time.Now()
		for i := range cycles {
			if i%50 == 0 {
				h.renew()
			}
			if err := live(h, c, 0); err != nil {
				t.Fatalf("cycle %d: %v", i, err)
			}
		}
		t.Logf("%d cycles, %v each", cycles, time.Since(begin)/time.Duration(cycles))
	})
}
