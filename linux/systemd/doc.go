// SPDX-License-Identifier: Apache-2.0

// Package systemd asks systemd for the cgroups of containers: transient scope
// units, over D-Bus (org.freedesktop.systemd1(5)).
//
// # Who does what
//
// systemd makes the cgroup, with the slices above it, and leaves what is below it
// to us (Delegate=yes). Limits are written to the kernel by package cgroup, as
// without systemd, and systemd is told at once what the kernel then has, so that
// it writes the same when it writes: at a daemon-reload for one, of which a host may
// have one while a container is made. (One that falls between our writing and our
// reading, a fraction of a millisecond, is not noticed.)
// It is told what it does not know (Told): each property is another file of the
// unit's, and shows as set. It is told nothing of devices: our filter stays beside
// any of its own.
//
// What systemd has no property for, it leaves alone, but for Written: it writes all
// of memory.* when it writes any, and takes memory.oom.group from OOMPolicy, which
// scopes have since systemd 253 (in Debian's and Red Hat's since 252, so it is asked
// for, not the version) and which is for Start alone. Where that does not help, the
// file is written once more after Tell, which returns when systemd has written: its
// answer to SetUnitProperties comes before, but it reads no other message until
// then (manager_loop of systemd's src/core/manager.c). And for as long as the
// file holds something else than the policy says, since an update asked for it, the
// shim watches it and writes it back (guard.go of package linux).
//
// systemd rounds CPU quotas up to whole percents of a CPU, and so do Limits, as
// runc's do.
//
// # Life of a scope
//
// A scope cannot be without a process, and init must be born in its cgroup. So
// Start takes the pid of a placeholder, which systemd moves there, and which goes
// as soon as init is there.
//
// The scope ends with its last process, and its cgroup with it: files that are to
// be read after init's end may be gone (cgroup.Group.OOMKills), and the name, with
// the cgroup's path, may be a later container's before the first one is deleted.
// Nothing can hold the cgroup but a process in it, which the container would see and
// be charged for: an open file of a removed cgroup answers ENODEV, and what systemd
// counts goes with the unit. So the kernel's log is what is left. Stop is for what
// systemd did not notice, for a scope that failed, which would otherwise keep its
// name (CollectMode=inactive-or-failed, unless an annotation says otherwise), and
// waits until the name is free.
//
// # Connection
//
// A Manager has one connection, to the system bus, or where there is none to
// systemd's own socket, as runc has. It is made when it is needed and closed when
// nobody has needed it for two seconds: a bus has 256 for all processes of a user,
// and a host may have more containers. Shims that are not asked for systemd never
// connect. A call that is cut off, since the bus or systemd starts anew, is made
// once more. No lock is held over a call: a systemd that does not answer holds up
// nobody but those who need it, and those until their context ends or Patience is
// over; Stop only a third of that. A unit whose end systemd has missed in the
// meantime is stopped when its name is used again.
//
// Signals of a job come to whoever asked for it; Subscribe, which makes systemd tell
// of every change of every unit, is not needed for that (bus_foreach_bus of
// src/core/dbus.c).
//
// github.com/godbus/dbus/v5 adds 0.5 MB to the shim, and to its start 0.013 ms of
// initialisation (GODEBUG=inittrace=1), of 2.0 to 2.2 ms with and without it.
// coreos/go-systemd would come on top of it.
package systemd
