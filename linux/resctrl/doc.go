// SPDX-License-Identifier: Apache-2.0

// Package resctrl gives a container its part of the caches and of the memory's
// bandwidth, through the kernel's resctrl file system (Intel RDT, AMD QoS;
// config-linux.md, "IntelRdt"; Documentation/filesystems/resctrl.rst).
//
//	Root   where it is mounted
//	Make   the group: made, or checked, with its schemata; the monitoring group
//	Tasks  files to which a process writes "0", before it has other credentials, to
//	       be in the groups with all that it starts
//	Remove what Make made and the specification wants removed
//
// The specification wants the schemata of an existing class compared, which runc
// leaves out: it is done here, by value and not by text (resctrl pads and sorts).
//
// No machine of ours has the hardware. The tests have a directory in its place:
// they see what is written and removed, not what the kernel says to it.
//
// Ownership: Tasks opens files for the caller. There is no lock and no state.
package resctrl
