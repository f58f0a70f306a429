// SPDX-License-Identifier: Apache-2.0

// Package process keeps one container's processes over their life: their states,
// their streams, their end, and the files in the bundle that outlive the shim.
// It knows neither containerd's API (package task) nor system calls beyond open
// (packages linux and relay).
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
// announced, or deathTimeout has passed, and from the moment it is no exec starts. When
// a result arrives after the exit, the exit stays.
//
// The start of an exec ends before its program runs when the request does, when init
// ends, and by a SIGKILL: its child is killed, whatever holds it up (exec.go). Other
// signals are refused until the program runs. Requests that come while an exec is being
// started are done once it runs.
//
// An exec that was never started has, to those who wait for it, exit code 255,
// containerd's for an unknown end. runc's shim tells them 0, or nothing for good.
//
// # Goroutines and locks
//
// Each process that runs has one goroutine, watch, which ends with it; each of its
// streams one that moves bytes and ends in Delete at the latest, or when the system call
// that it is in does (package relay); a binary logger one, which ends with the logger.
//
// Lock order: Container.mu, init's Process.mu, an exec's Process.mu. sink.mu, input.mu
// and oomWatch.mu are leaves, but for oomWatch.mu being held over Notify.OOM and
// Container.mu over Notify.Added, which only queue. No other lock is held over
// a call that can block: State, Pids, Wait and Connect answer at any time.
//
// # Streams
//
// A container is given anonymous pipes, or a terminal, and nothing else, so that
// nothing of the host's file systems can be reached through its descriptors, and
// security modules see what they expect of a container. Relays (package relay) move
// the bytes:
//
//	stdout, stderr  fifo    pipe -> fifo, by splice(2). The shim keeps an unread read end
//	                        of the fifo until Delete, so that a restarting containerd
//	                        costs neither an EPIPE nor what was written. With no reader
//	                        the fifo fills, then the pipe, and the container waits
//	                file    pipe -> file, appended to. What a full disk does not take is
//	                        lost and logged; the container goes on
//	                binary  a pipe that the logger reads itself: no end but by its writers
//	stdin           fifo    fifo -> pipe. The shim keeps a write end of the fifo until
//	                        CloseIO
//	terminal                pty master <-> fifo, file or logger. The shim has a slave open
//	                        until the process is dead, as the process may close all that
//	                        it has and open /dev/console again
//
// If stdout and stderr lead to the same file or fifo, they are one pipe: what is written
// comes in its order.
//
// When a process is dead, what its pipes hold is moved before anybody is told. Others,
// as a grandchild, may hold a pipe for good: they are not waited for. containerd's client
// stops reading a fifo as soon as it deletes a task, so the exit is also held back while
// the fifo has unread bytes (20 ms without progress, 500 ms at most). Delete waits once
// more, longer, as long as anybody has the fifo open to read; then the pipe's end is
// closed, and who still writes has SIGPIPE, as with runc's shim.
//
// A reader's open(2) waits for a writer, and may come after the process's exit: on
// a busy machine, or when containerd comes back. So at its end an output waits for a
// reader before it gives its write end up.
//
// If the shim is killed, its ends of the pipes go with it: a container that outlives it
// for a moment has SIGPIPE and the end of its input, as with runc's shim.
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
