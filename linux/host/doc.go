// SPDX-License-Identifier: Apache-2.0

// Package host sets up the shim's own process on the host: where its program
// image comes from, its socket, its log, its place in the host's OOM order,
// cgroups and scheduling cores.
// It knows nothing of containers.
//
// The package is part of the path that runs before most of the program's other
// packages are initialised (see cmd/containerd-shim-mini-v2), so it imports
// linux/sys, golang.org/x/sys/unix and light standard packages only.
//
// # The image
//
// A container's first process is a copy of the shim until it calls execve(2), and a
// container image may name /proc/self/exe as its command. So the file behind the daemon's
// /proc/<pid>/exe must not be writable through that link, now or after the daemon's end
// (CVE-2019-5736). Seal returns such a file:
//
//	open_tree(directory of the binary, CLONE) -> mount_setattr(RDONLY|NOSUID|NODEV)
//	  -> name in it is the inode of /proc/self/exe?      yes: that
//	                                                     no:  the same with open_tree(/proc/self/exe)
//	  any step fails (no CAP_SYS_ADMIN, seccomp)         a copy in a sealed memfd
//
// The detached mount is dissolved when the last descriptor of it is closed,
// which is when `start` exits. From then on it belongs to no mount namespace, so
// that mount_setattr(2), a remount and a second open_tree(2) are refused even to
// a process with CAP_SYS_ADMIN that reaches it through /proc, and its read-only
// flag is final.
//
// An overlay mount, which runc 1.2 and later use, prevents the attack too. But it was
// measured to cost 140 µs instead of 35 µs, and it has a drawback: the kernel denies writes
// to the overlay's inode and no longer to the file below. So copying a new version over the
// installed binary would change the pages of every running shim instead of failing with
// ETXTBSY.
//
// # Ownership
//
// Functions that return a descriptor give it to the caller. Descriptors are
// close-on-exec.
//
// Kernel: mount_setattr, Linux 5.12.
package host
