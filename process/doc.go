// SPDX-License-Identifier: Apache-2.0

// Package process keeps one container's processes over their life: their states,
// their streams, their end, and the files in the bundle that outlive the shim.
// It knows neither containerd's API (package task) nor system calls beyond open
// (package linux).
//
// # States
//
// Init and execs share one State and one table (state.go). Work claims a state
// of its own before it begins and gives it back when it fails, so that two
// requests never do the same work and no lock is held over work:
//
//	New      Created --Start--> Starting --> Running
//	Pause    Running --> Pausing --> Paused --Resume--> Resuming --> Running
//	exit     any of these --> Exiting --> Stopped
//	Delete   Stopped --> Deleting --> Deleted; a created init --> Discarding first
//	New      Prepared --Start--> Restoring --> Running (of a checkpoint: no init before)
//	Delete   Prepared --> Dropping --> Deleted
//	Checkpoint  Running --> Dumping --> Running; Paused --> DumpingPaused --> Paused
//	exec     Created --> Starting --> Running | Failed (there never was a process)
//
// Exiting is the time between a process's death and its announcement; watch
// (exit.go) lists what happens in it. Init is Exiting until each of its execs was
// announced, and from the moment it is no exec starts. When a result arrives
// after the exit, the exit stays.
//
// An exec that was never started has, to those who wait for it, exit code 255,
// containerd's for an unknown end. runc's shim tells them 0, or nothing for good.
//
// # Goroutines and locks
//
// Each process that runs has one goroutine, watch, which ends with it; a terminal
// has two, which end in Delete; a binary logger one, which ends with the logger.
//
// Lock order: Container.mu, init's Process.mu, an exec's Process.mu. streams.mu
// and oomWatch.mu are leaves, but for oomWatch.mu being held over Notify.OOM and
// Container.mu over Notify.Added, which only queue. No other lock is held over
// a call that can block: State, Pids, Wait and Connect answer at any time.
//
// # Streams
//
// Nothing is copied but terminals. The container is given the fifo or the file
// itself, in blocking mode:
//
//	stdout, stderr  fifo    container writes; the shim keeps an unread read end until
//	                        Delete, so that a restarting containerd costs no SIGPIPE,
//	                        and closes its write end once the process exists, so that
//	                        the reader sees the end when the container is done
//	stdin           fifo    container reads; the shim keeps a write end until CloseIO
//	                file    appended to; a container that opens /dev/stdout anew with
//	                        O_TRUNC empties it, which a fifo would not let it
//	                binary  pipes, read by the logger alone: no end but by its writers
//	terminal                pty master <-> fifo, file or logger, by two goroutines
//
// containerd's client stops reading a fifo as soon as it deletes a task, so output
// that was not read by then is lost. With runc's shim copying, the copy is what
// delays the exit; here there is none, so the exit is held back (20 ms without
// progress, 500 ms at most) while a fifo has unread bytes, which FIONREAD tells.
// Delete waits once more, longer, as long as anybody has the fifo open to read.
//
// A reader's open(2) waits for a writer, and may come after the process's exit: on
// a busy machine, or when containerd comes back. Where there was none at the
// start, or bytes are unread at the exit, the shim is a writer until one is there.
//
// # Files in the bundle
//
//	config.json  containerd's, read once
//	record.json  linux.Record and the options, before the first process exists
//	init.pid     when Create is done; of a checkpoint, when Start is
//	exit.json    before init's exit is announced
//
// Each is written under another name and renamed. Cleanup, in another process
// after the shim's death, works from them.
package process
