// SPDX-License-Identifier: Apache-2.0

// Package launch is the command line of the shim and its verb `start`: bring
// up the daemon that serves a container, or find the one that serves its group.
//
//	read standard input (bootstrap) -> group (config.json) -> socket
//	  -> write "address" in the bundle -> connect to the socket
//	       a shim answers there -> answer on standard output
//	       none does            -> cgroup, core cookie, OOM score -> sealed image -> daemon -> listen -> answer
//
// What the daemon is to inherit, `start` applies to itself before it makes the
// daemon: then the daemon has it from its first instruction. `start` lives for
// a millisecond more.
//
// The socket is made here and handed to the daemon as descriptor 3, so that
// containerd can connect while the daemon is still starting. `start` has it listen
// when the daemon is born; a daemon that finds it not listening, because `start`
// was killed or is slow, does so itself, at "address". So there is no moment at which
// a kill of `start` leaves a socket for which nobody is there.
//
// "address" is the file from which containerd 1.7 and older reconnect after
// their restart; later ones do if they died before they wrote bootstrap.json.
// The verb `delete` removes a dead shim's socket by it.
//
// Only light packages may be imported: see package early.
package launch
