// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"os"
	"testing"
)

// requireRoot names the variable that turns a skip for want of root into a
// failure.
const requireRoot = "MINI_REQUIRE_ROOT"

// Root skips the test unless it runs as root, and fails it in place of
// skipping when MINI_REQUIRE_ROOT=1.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	Unavailable(t, "needs root: run it under `make test-root`")
}

// Unavailable skips the test because the machine lacks something that
// `make setup` provides; under MINI_REQUIRE_ROOT=1 it fails the test.
func Unavailable(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(requireRoot) == "1" {
		t.Fatalf("may not skip under "+requireRoot+"=1: "+format, args...)
	}
	t.Skipf(format, args...)
}
