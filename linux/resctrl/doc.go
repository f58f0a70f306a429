// SPDX-License-Identifier: Apache-2.0

// Package resctrl gives a container its share of caches and of memory bandwidth through the
// kernel's resctrl file system (Intel RDT, AMD QoS; config-linux.md, "IntelRdt";
// Documentation/filesystems/resctrl.rst).
//
//	Root   returns where resctrl is mounted
//	Intend returns what Make will make, to be recorded first, so that a crash leaves nothing
//	Make   makes the group, or checks an existing one, and writes its schemata
//	Tasks  opens the files to which a process writes "0" to join, with all processes that
//	       it starts; it writes while it still has our credentials
//	Joined says that init is in the group
//	Remove removes what Make made, as far as the specification wants
//	Undo   does the same, and removes a class that Make made
//
// Others may use a class with a name of its own too. So whoever is about to join one holds
// a shared lock (flock(2)) on its directory. A class is removed only under an exclusive
// lock, and only if no process is in it. No call waits for such a lock.
//
// The specification wants the schemata of an existing class compared. runc does not do it.
// This package compares values and not text, because resctrl pads and sorts.
//
// None of our machines has the hardware. The tests use a plain directory instead: they
// check what is written and removed, but not what the kernel answers.
//
// Ownership: the caller closes the files of Tasks. A Group holds its locked directory open
// until Joined, Remove or Undo.
package resctrl
