// SPDX-License-Identifier: Apache-2.0

// Package daemon is the long-lived process that serves the containers of one
// group: it listens, publishes events, logs, and knows when to end.
//
//	containerd --connects--> gate (same uid) --> ttrpc server --> task.Service
//	task.Service --> Publisher --> containerd's event service (TTRPC_ADDRESS)
//
// # Its end
//
//	Shutdown was called with no container left: the service says so
//	SIGTERM, SIGINT, SIGHUP
//	abandoned: no connection to us, and every bundle we were given is gone, for graceTime
//
// In each case the listener is closed, the socket is removed, and the service is
// given closeTime to kill and delete the containers there are and to publish
// what is left to say; when it was abandoned, as long as containers take, for one
// may hang in the kernel. Being abandoned is noticed by the end of the last
// connection; then, and only then, the bundles are looked at now and then. A
// containerd that is merely down leaves them in place.
//
// # Goroutines
//
// Run waits for the reason to end. Beside it: the accept loop and ttrpc's own,
// one for signals. Run does not wait for these, for the
// process ends when it returns. The publisher has none: package task calls it
// from the goroutine that keeps its queue.
//
// # Signals
//
// No signal is ignored, for that would survive execve(2) into containers; those
// that should not end the shim are caught. SIGHUP and SIGINT, which nohup(1)
// hands down ignored, are caught for the same reason: what is caught is reset
// by execve(2).
package daemon
