// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"fmt"
	"os"
	"testing"
)

// KernelSince reports whether the kernel has this version or a later one.
func KernelSince(t testing.TB, major, minor int) bool {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	var gotMajor, gotMinor int
	if _, err := fmt.Sscanf(string(release), "%d.%d", &gotMajor, &gotMinor); err != nil {
		t.Fatal(err)
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}

// KernelBefore is the need of a kernel that is older than this version.
func KernelBefore(t testing.TB, major, minor int) Need {
	version := fmt.Sprintf("before %d.%d", major, minor)
	return Need{what: "kernel", missing: func() string {
		if KernelSince(t, major, minor) {
			return version
		}
		return ""
	}}
}
