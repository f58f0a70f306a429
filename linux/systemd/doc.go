// SPDX-License-Identifier: Apache-2.0

// Package systemd asks systemd for the cgroups of containers: transient scope
// units, over D-Bus (org.freedesktop.systemd1(5)).
//
// # Who does what
//
// systemd makes the cgroup, with the slices above it, and leaves everything below it to
// us (Delegate=yes). Package cgroup writes the limits to the kernel, as without systemd.
// Then we read them back and tell systemd, so that it writes the same values when it
// writes: at a daemon-reload, for example, which may come while a container is made. A
// reload between our write and our read, a fraction of a millisecond, is not noticed.
//
// We tell systemd only what it does not know yet (Told): each property is another file of
// the unit, and shows as set. We tell it nothing about devices: our filter works beside
// any of its own.
//
// systemd leaves files alone for which it has no property, except those in Written. When
// it writes any file of memory.*, it writes all of them. It takes memory.oom.group from
// OOMPolicy, which only Start can set. Scopes have OOMPolicy since systemd 253, but Debian
// and Red Hat have it in 252, so we ask for the property and not for the version. Where
// that does not help, the file is written once more after Tell. Tell returns when systemd
// has written: systemd answers SetUnitProperties before that, but reads no other message
// until it is done (manager_loop in systemd's src/core/manager.c). While the file differs
// from the policy because an update asked for it, the shim watches the file and writes it
// back (guard.go in package linux).
//
// systemd rounds CPU quotas up to whole percents of a CPU, and so do Limits and runc.
//
// # Life of a scope
//
// A scope needs a process, and init must be born in the scope's cgroup. So Start takes
// the pid of a placeholder. systemd moves it there, and it ends as soon as init is there.
//
// The scope ends with its last process, and its cgroup with it. So a file may be missing
// when it is read after init's end (cgroup.Group.OOMKills), and a later container may have
// the name and the path of the cgroup before the first container is deleted. Only a
// process in the cgroup would keep it, and the container would see that process and be
// charged for it. An open file of a removed cgroup answers ENODEV, and systemd's counters
// end with the unit. The kernel's log is what remains.
//
// Stop ends a scope whose end systemd did not notice, and makes systemd forget a failed
// one, which would otherwise keep its name (CollectMode=inactive-or-failed, unless an
// annotation says otherwise). Stop waits until the name is free.
//
// # Connection
//
// A Manager has one connection, to the system bus or, if there is none, to systemd's own
// socket, as in runc. It connects on demand and closes the connection after two seconds
// without use: a bus allows 256 connections for all processes of a user, and a host may
// have more containers. A shim without systemd cgroups never connects. A call that breaks
// off because the bus or systemd restarts is made once more.
//
// No lock is held over a call. A systemd that does not answer delays only the calls that
// need it, until their context ends or patience is over; Stop waits a third of that. A
// unit whose end systemd missed is stopped when its name is used again.
//
// systemd sends the signals of a job to the client that asked for the job. Subscribe,
// which asks for every change of every unit, is not needed (bus_foreach_bus in
// src/core/dbus.c).
//
// github.com/godbus/dbus/v5 adds 0.5 MB to the shim. It adds 0.013 ms of initialisation
// (GODEBUG=inittrace=1) to a start of 2.0 to 2.2 ms. coreos/go-systemd would come on top.
package systemd
