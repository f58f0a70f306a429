// SPDX-License-Identifier: Apache-2.0

// Package systemd has the tests of the systemd cgroup driver. They run on a host
// whose init is systemd, which the bed hides, and so straight on it: in the virtual
// machine of `make test-vm`, where nobody minds. Elsewhere they skip.
package systemd
