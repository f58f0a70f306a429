// SPDX-License-Identifier: Apache-2.0

// Package netdev moves network devices of the host into a container's network
// namespace (config-linux.md, "Network Devices"), with plain rtnetlink(7) messages.
//
//	Check   names that the kernel would refuse
//	Move    for each device, in the order of the names:
//	          its permanent addresses of global scope are read on the host
//	          one RTM_NEWLINK moves and renames it
//	          the addresses, which the kernel drops with the move, are added again
//	          it is set up
//	        an error takes the devices back that were moved
//	Moved   Undo takes them back with their names, addresses and state; Close keeps them
//
// A device is never set down first: the move does that, and a device that stays on
// the host because its move fails was not touched. (runc sets it down and only then
// reads its addresses, by when the kernel has dropped those of IPv6.)
//
// # Ownership
//
// A Moved owns two sockets, one in each namespace, and with them a reference to the
// container's. Nothing else stays open.
//
// Kernel: everything here is older than Linux 3.14 (IFA_FLAGS).
package netdev
