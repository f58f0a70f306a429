// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// TestMain checks that all tests together leave nothing behind.
func TestMain(m *testing.M) {
	if err := warmUp(); err != nil {
		fmt.Fprintln(os.Stderr, "warm up:", err)
		os.Exit(1)
	}
	os.Exit(testenv.Main(m, testenv.CgroupPrefix()))
}

// warmUp opens what a shim opens at its first use and keeps for its life, so that
// it is not taken for a leak.
func warmUp() error {
	// Without root there are no tests that open it; elsewhere no check, another procfs,
	// and no fork of ours before Go's own (testenv.Rootless).
	if os.Geteuid() != 0 || testenv.InSubprocess() {
		return nil
	}
	for _, open := range []func() error{
		func() error { _, err := sys.Proc(); return err },
		func() error { _, err := null(); return err },
		func() error { _, err := ownPidns(); return err },
		func() error { _, err := hierarchy(); return err },
		func() error { return withChild(0, func(int) error { return nil }) }, // fork's own
	} {
		if err := open(); err != nil {
			return err
		}
	}
	return nil
}
