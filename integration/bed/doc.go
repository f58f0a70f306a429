// SPDX-License-Identifier: Apache-2.0

// Package bed runs a real containerd for tests and benchmarks, apart from the
// machine's own.
//
// A program that calls Enter is started three times:
//
//	outer    as the user started it: builds the shim, makes one cgroup2
//	         directory, starts init, and removes the directory at the end
//	init     pid 1 of new pid, mount, network, ipc, uts and cgroup namespaces:
//	         mounts proc, a tmpfs on /run, and a cgroup2 rooted at that
//	         directory on /sys/fs/cgroup; starts inside; reaps orphans
//	inside   the tests; Enter returns there
//
// Whatever happens inside, the kernel ends every process and mount of it with
// init, and init is killed when outer ends. Containers are therefore real, and
// cannot get at the machine's mounts, processes or cgroups.
//
// /sys/fs/cgroup inside looks like that of a host with cgroup v2 only, because
// runc, which the same tests run on as the oracle, works on no other. It has
// the controllers that the machine delegates, which on a host with v1
// controllers beside v2 is none.
//
// Where containers are to be in systemd's scopes (Scopes, in the virtual machine of
// `make test-vm DRIVER=systemd` only) there is none of this, since it hides systemd:
// what the tests start is told from the machine's own by its cgroup.
//
// Start starts a containerd; its Leftovers are what a test may not leave.
package bed
