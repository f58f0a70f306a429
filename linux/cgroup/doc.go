// SPDX-License-Identifier: Apache-2.0

// Package cgroup makes, limits, measures and removes the cgroups of containers,
// on cgroup v2 only: a unified host, or the cgroup2 tree of a hybrid one, where
// a limit whose controller is bound to cgroup v1 is refused by its name.
//
// # Life of a group
//
//	OpenHierarchy           once a shim
//	Hierarchy.Path          linux.cgroupsPath -> path; pure but for a relative one
//	Hierarchy.Create        mkdir, refuse what is in use, enable controllers
//	Hierarchy.Adopt         instead of Create, if systemd has made it (package systemd)
//	Group.Apply             limits, then the device filter
//	(clone into Group.Dir)
//	Group.Place             a place for each exec
//	Place.Kill              kills an exec with all that it has started
//	Group.Update, Freeze, Thaw, Kill, Pids, Stats, OOMKills, WatchOOM
//	Group.Delete            kill, wait for populated 0, rmdir from the leaves up
//
// After a shim's death Hierarchy.Open and Group.Delete clean up. Group.Close
// lets go of a group without removing it.
//
// # Files
//
// Everything goes through openat(2) on the group's O_PATH directory; no path is
// walked again, and the descriptor cannot be closed and its number reused for
// another container during a call. Paths in errors are for humans.
//
// Parents that Create makes bear an extended attribute. Whoever removes the
// last group in such a parent also removes the parent: another shim, or this
// one after a crash. Parents of others (kubelet, systemd) stay.
//
// # Controllers
//
// On a unified host Create enables all controllers on the way down, as runc
// does, because stats and OOM events come from them. It fails if it cannot enable those
// that resources need. On a hybrid host it enables only those. It enables nothing in the
// group itself, so that init and execs may live in it: a domain that gives controllers to
// its children may hold no process.
//
// linux.resources is compiled, without a look at the kernel, to a list of
// settings (field, file, value, order, what may fail), which golden files show.
// A field that cgroup v2 lacks is refused by name. So is a setting whose controller is
// absent, unless its value is what the kernel does anyway. Update notes what each file
// holds before it writes to it, and restores that after an error. A Group remembers the
// limits of memory and swap: swap's file holds the difference of two fields, and an
// update may give only one of them.
//
// # Device filter
//
// One eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE is attached to the group
// with BPF_F_ALLOW_MULTI, beside those of its ancestors, and holds in the
// groups below as well. It ends with the cgroup. An update loads the new
// program and replaces the old one in one step (BPF_F_REPLACE).
// Rules that allow everything need no program. The last rule that matches
// decides, separately for reading, writing and mknod. runc instead refuses a rule
// that denies a part of what a wider one allows, and takes "a" for all devices
// whatever its numbers say.
//
// The program is assembled here. github.com/cilium/ebpf would cost, measured
// with CGO_ENABLED=0 -tags no_grpc -trimpath -ldflags '-s -w' on a binary of
// this package alone: 5.05 MB in place of 3.85 MB (its asm package alone: 4.36
// MB) and 1.82 ms to start in place of 1.65 ms (1.76 ms), thrice for each
// container. Loading took 0.22 ms with a chain of comparisons for each rule, as
// other runtimes have it, and 0.054 ms as program.go does it.
//
// # Execs
//
// A program that reads limits reads those of its own cgroup, so an exec is best in its
// container's. A Mark tells its processes from others there: a cgroup namespace that the
// exec makes, with the same root as the container's, so that only its number differs.
// Descendants inherit it. Place.Kill looks for the mark in cgroup.procs until nobody with
// it is left, and freezes the group for a moment if a tree forks faster than that. It also
// kills the children of processes with the mark, for the sake of nested containers, which
// have namespaces of their own. CAP_SYS_ADMIN is enough to leave the mark, also in a user
// namespace that the process has made. So the mark does not help against a container that
// does not want its execs to die. Killing the container does.
//
// A mark needs a container's namespace whose root is the container's group, and that group
// must take processes. Otherwise an exec has a slot: a sub-cgroup mini-exec-N, which
// cgroup.kill kills. It has none of the container's files of limits. Slots are used again
// when they are empty, so that probes do not churn the tree. A slot in which an exec has
// left a process has no descriptors.
//
// The last place is where init is now, for a container that has removed its group.
//
// # Waiting
//
// cgroup.events and memory.events are polled through an epoll descriptor that
// the Go runtime polls in turn: a wait costs no thread, and no inotify instance,
// of which a user has 128 by default. The kernel announces at most one change
// of a file in 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV) and delays the next one. That
// made every freeze or kill soon after another change take 10 to 16 ms. So for that
// long the waiter also looks by itself, at intervals that double from 50 us.
//
// # Locks
//
//	Group.mu      Apply, Update, Close: device filter and limits of one group
//	slots.mu      Place, Release, Kill of a slot, Close
//	freezer.mu    the writes of Freeze, Thaw and of a hold
//	stat.mu       Stats, Close: its open files and buffer
//
// Close takes mu and then, one after the other, slots.mu and stat.mu. Nobody else holds
// two. Create, Pids, Freeze, Thaw, Kill, WaitEmpty, OOMKills and Delete hold none
// while they wait, so that nothing waits for a freeze or a removal. Stats waits
// only for another Stats. A WatchOOM goroutine ends with its stop.
//
// # Kernel
//
// 5.14: cgroup.kill (5.14), CLONE_INTO_CGROUP (5.7), BPF_F_REPLACE (5.6),
// cgroup.freeze (5.2). Later files (memory.peak 5.19, memory.swap.peak 6.5) are
// read where they are.
//
// # Measured
//
// Kernel 6.18, no controllers, medians: Create 57 us, Apply with the device
// filter 75 us, Create to Delete 156 us, a slot and its release 3 us, Stats 11 us,
// freeze and thaw of a running process 0.2 ms, Delete of one that must be
// killed 0.4 ms.
package cgroup
