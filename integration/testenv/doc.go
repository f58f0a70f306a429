// SPDX-License-Identifier: Apache-2.0

// Package testenv is what the tests of every package share: being root, a
// fresh process in fresh namespaces, a cgroup and a root filesystem of one's
// own, and the check that a test left nothing behind.
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m, testenv.CgroupPrefix())) }
//
//	func TestPivot(t *testing.T) {
//		testenv.Root(t)
//		testenv.Subprocess(t, syscall.CLONE_NEWNS, func(t *testing.T) {
//			testenv.NoLeaks(t)
//			...
//		})
//	}
//
// A test that needs root is skipped where there is none, except under
// MINI_REQUIRE_ROOT=1, which `make test` sets: there a skip would hide that
// nothing was tested, so it is a failure.
//
// The package imports nothing but the standard library, so that any package
// of the module can use it in its tests.
package testenv
