// SPDX-License-Identifier: Apache-2.0

// Package netdev moves network devices of the host into a container's network
// namespace (config-linux.md, "Network Devices"), with plain rtnetlink(7) messages.
//
//	Check   refuses names that the kernel would refuse
//	Move    for each device, in the order of the names:
//	          reads its permanent addresses of global scope on the host
//	          moves and renames it with one RTM_NEWLINK, which chooses its index there
//	          adds the addresses again, which the kernel drops with the move
//	          sets it up
//	        an error takes back the devices that have moved
//	Moved   Undo takes them back with their names, addresses and state; Close leaves them
//
// A device is never set down first, because the move does that. So a device whose move
// fails stays as it was. (runc sets the device down and only then reads its addresses,
// when the kernel has already dropped those of IPv6.)
//
// # Ownership
//
// A Moved owns a socket in each namespace, which holds a reference to it, and the file of
// the host's namespace. Nothing else stays open.
//
// Kernel: IFLA_NEW_IFINDEX as a wish, Linux 5.13; dumps of one device's addresses 4.20.
package netdev
