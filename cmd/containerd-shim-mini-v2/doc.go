// SPDX-License-Identifier: Apache-2.0

// Command containerd-shim-mini-v2 is a containerd runtime that makes Linux
// containers itself. containerd starts it, as io.containerd.mini.v2 or by path,
// three times for a container:
//
//	containerd-shim-mini-v2 -namespace NS -address SOCKET -id ID start
//	    in the bundle: brings up, or finds, the daemon for the container's group
//	containerd-shim-mini-v2 -namespace NS -id ID -address SOCKET [-debug]
//	    the daemon, made by `start`: serves the task API on descriptor 3
//	containerd-shim-mini-v2 -namespace NS -id ID -bundle PATH delete
//	    when containerd has no connection to the daemon any more
//
// and once in its life with -info. -v or -version is for people. An unknown flag
// is an error, as it is to containerd-shim-runc-v2.
//
// # Environment
//
//	TTRPC_ADDRESS     containerd's event service; else GRPC_ADDRESS + ".ttrpc"
//	MAX_SHIM_VERSION  the highest bootstrap answer an older containerd takes
//	SCHED_CORE        not empty: a core scheduling cookie for the shim and its containers
//	GOMAXPROCS        of start and delete; `start` sets the daemon's
//
// NAMESPACE is in the flag -namespace as well and not read.
//
// # Start-up
//
// Much of containerd's delay for a container is the start-up of this program, so
// that its imports are weighed. `start`, and `delete` of a container that its
// shim deleted, run before most packages are initialised: see internal/early.
//
//	internal/bootstrap  what containerd and `start` say to each other
//	internal/launch     flags, `start`, the light part of `delete`
//	internal/early      runs these two before main, and before what they do not need
//	internal/daemon     the daemon: socket, events, signals, its end
package main
