// SPDX-License-Identifier: Apache-2.0

//go:build !faultpoint

package fault

// Point is a place between two steps. It does nothing in this build.
func Point(string) {}
