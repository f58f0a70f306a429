// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDefaultSignals starts itself with SIGHUP ignored and looks at what a child
// inherits before and after.
func TestDefaultSignals(t *testing.T) {
	inherited := func() string {
		out, err := exec.Command("grep", "SigIgn", "/proc/self/status").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if os.Getenv("SIGNALS_TEST") == "" {
		cmd := exec.Command("/bin/sh", "-c", `trap "" HUP; exec "$0" -test.run='^TestDefaultSignals$' -test.v`, os.Args[0])
		cmd.Env = append(os.Environ(), "SIGNALS_TEST=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if got := inherited(); !strings.HasSuffix(got, "1") {
		t.Errorf("before: %s", got)
	}
	if err := DefaultSignals(); err != nil {
		t.Fatal(err)
	}
	if got := inherited(); !strings.HasSuffix(got, "\t0000000000000000") {
		t.Errorf("after: %s", got)
	}
}
