// SPDX-License-Identifier: Apache-2.0

// Package seccomp has the tests that compare linux/seccomp with libseccomp, as runc
// uses it: the same verdict for the same call. They need cgo and libseccomp-dev.
package seccomp
