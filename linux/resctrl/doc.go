// SPDX-License-Identifier: Apache-2.0

// Package resctrl gives a container its part of the caches and of the memory's
// bandwidth, through the kernel's resctrl file system (Intel RDT, AMD QoS;
// config-linux.md, "IntelRdt"; Documentation/filesystems/resctrl.rst).
//
//	Root   where it is mounted
//	Intend what Make will make, to be recorded first: a crash leaves nothing
//	Make   the group: made, or checked, with its schemata; the monitoring group
//	Tasks  files to which a process writes "0", before it has other credentials, to
//	       be in the groups with all that it starts
//	Joined init is in them
//	Remove what Make made and the specification wants removed
//	Undo   the same, and a class that Make made for a container that came to nothing
//
// A class with a name of its own is others' too. So whoever is about to join one
// holds a shared lock (flock(2)) on its directory, and a class is taken back only
// under an exclusive one, when nobody is in it. No call waits for a lock of another's.
//
// The specification wants the schemata of an existing class compared, which runc
// leaves out: it is done here, by value and not by text (resctrl pads and sorts).
//
// No machine of ours has the hardware. The tests have a directory in its place:
// they see what is written and removed, not what the kernel says to it.
//
// Ownership: Tasks opens files for the caller; a Group holds the directory that it
// has locked, until Joined, Remove or Undo.
package resctrl
