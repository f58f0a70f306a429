// SPDX-License-Identifier: Apache-2.0

// Package systemd asks systemd for the cgroups of containers: transient scope
// units, over D-Bus (org.freedesktop.systemd1(5)).
//
// # Who does what
//
// systemd makes the cgroup, with the slices above it, and leaves what is below it
// to us (Delegate=yes). Limits are written to the kernel by package cgroup, as
// without systemd, and systemd is told afterwards what the kernel then has, so that
// it writes the same when it writes (at a daemon-reload, when a neighbour changes).
// What systemd has no property for, it leaves alone. It is told nothing of
// devices: our filter stays beside any of its own.
//
// A scope cannot be without a process, and init must be born in its cgroup. So
// Start takes the pid of a placeholder, which systemd moves there, and which goes
// as soon as init is there.
//
// The scope ends with its last process. Stop is for what systemd did not notice,
// and for a scope that failed, which would otherwise keep its name
// (CollectMode=inactive-or-failed).
//
// # Connection
//
// A Manager connects to the system bus at its first call, and again when the
// connection broke. Shims that are not asked for systemd never connect. No lock is
// held over a call: a systemd that does not answer holds up nobody but those who
// need it, and those until their context ends or Patience is over.
//
// github.com/godbus/dbus/v5 adds 0.5 MB to the shim, and to its start what cannot
// be told from noise (2.0 to 2.2 ms, with and without). coreos/go-systemd would come
// on top of it.
package systemd
