// SPDX-License-Identifier: Apache-2.0

// Package cgroup makes, limits, measures and removes the cgroup of a container,
// on cgroup v2 only.
package cgroup
