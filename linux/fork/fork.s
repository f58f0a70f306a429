// SPDX-License-Identifier: Apache-2.0

// Empty: its presence lets child.go declare functions without a body, which
// //go:linkname fills with the runtime's.
