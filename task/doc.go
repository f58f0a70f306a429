// SPDX-License-Identifier: Apache-2.0

// Package task speaks containerd's task API: requests, events, status codes.
// What is done about them is package process's.
//
//	RPC                       process
//	Create                    New
//	Start State Wait Kill     Process.Start Status/Exit Wait Kill
//	ResizePty CloseIO Delete  Process.Resize CloseStdin Delete
//	Exec Pids Stats           Container.Exec Pids Stats
//	Pause Resume Update       Container.Pause Resume Update
//	Connect Shutdown          -
//	Checkpoint                Container.Checkpoint
//
// The answers to illegal requests have the codes of containerd-shim-runc-v2 where
// that has one, and where it answers Unknown (pausing what is stopped, deleting
// what is running) FailedPrecondition.
//
// # Events
//
// Everything about the order of events is in timeline.go (what waits for what)
// and events.go (publishing, one after the other). Requests never wait for the
// publisher. Each event leaves once: its step is posted by the one who took it,
// and the state table of process lets only one take it.
//
// # When containerd starts
//
// containerd takes a shim without a process for leaked and deletes its task. The task's
// exit is then lost. So the first answer to Pids on a connection also names a container
// that has ended, until it is deleted: see connection.go.
//
// # Checkpoints
//
// A container of a checkpoint is restored when it is started. Until then it is created,
// with pid 0, as under runc's shim; it can be deleted, and nothing else. containerd
// puts the checkpoint's path into the request; CriuImagePath alone means the same.
//
// # Options
//
// Options arrive as runc's message or, to a runtime of another name, as TOML in a
// generic one, which package toml reads. Unknown keys are refused.
//
// # Locks
//
// Service.mu guards the map alone and is never held over a call into process. A
// timeline's mu is taken under process's locks (Added, OOM) and takes the outbox's;
// nothing is called under that.
package task
