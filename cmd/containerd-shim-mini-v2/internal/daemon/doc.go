// SPDX-License-Identifier: Apache-2.0

// Package daemon is the long-lived process that serves the containers of one
// group: it listens, publishes events, logs, and knows when to end.
//
//	containerd --connects--> gate (same uid) --> ttrpc server --> task.Service
//	task.Service --> Publisher --> containerd's event service (TTRPC_ADDRESS)
//
// # Its end
//
//	Shutdown called with no container left     the service says so
//	SIGTERM, SIGINT, SIGHUP                    containers are left to `delete`
//	abandoned: no connection to us, and every  containers are killed first
//	  bundle we were given is gone, for graceTime
//
// In each case: the listener is closed, the events still queued are given
// flushTime, the socket is removed. Being abandoned is noticed without polling:
// by the end of the last connection, and by inotify on the bundles' config.json.
// A containerd that is merely down leaves the bundles in place.
//
// # Goroutines
//
// Run waits for the reason to end. Beside it: the accept loop and ttrpc's own,
// one for signals, one for the watch, one for the publisher. Run does not wait
// for the last ones, for the process ends when it returns.
//
// # Signals
//
// No signal is ignored, for that would survive execve(2) into containers; those
// that should not end the shim are caught. SIGHUP and SIGINT, which nohup(1)
// hands down ignored, are caught for the same reason: what is caught is reset
// by execve(2).
package daemon
