// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// State is where a process, init or exec, is in its life. The zero State is
// none of them.
type State uint8

// States of a process, in the order of a life.
const (
	none          State = iota
	Created             // init waits at its gate; an exec is only known by name
	Starting            // Start is at work
	Running             // it executes the container's program
	Pausing             // Pause is at work (init only, as the next two)
	Paused              // the container's cgroup is frozen
	Resuming            // Resume is at work
	Discarding          // Delete of a created container kills its init
	Prepared            // of a checkpoint; there is no process before Start (init only, as the next four)
	Dropping            // Delete of what is prepared is at work
	Restoring           // Start is at work
	Dumping             // Checkpoint is at work on a running container
	DumpingPaused       // Checkpoint is at work on a paused one
	Failed              // an exec that could not be started; there never was a process
	Exiting             // the process is dead; what must come before its exit is being done
	Stopped             // the exit was announced
	Deleting            // Delete is at work
	Deleted             // nothing is left of it
	stateCount
)

// String names the state in error messages.
func (s State) String() string { return stateNames[s] }

var stateNames = [stateCount]string{
	none: "unknown", Created: "created", Starting: "starting", Running: "running",
	Pausing: "pausing", Paused: "paused", Resuming: "resuming", Discarding: "being deleted",
	Prepared: "not yet restored", Dropping: "being deleted", Restoring: "being restored",
	Dumping: "being checkpointed", DumpingPaused: "being checkpointed",
	Failed: "failed to start", Exiting: "exiting", Stopped: "stopped",
	Deleting: "being deleted", Deleted: "deleted",
}

// op is an operation on a process, or its outcome.
type op uint8

// Operations, grouped by how they use the table.
const (
	// claims: the state says from then on that the work is being done
	opStart op = iota
	opPause
	opResume
	opDiscard
	opDelete
	opCheckpoint
	opRestore // Start of what is prepared

	// results of claimed work; the exit may have come in between and stays
	opStarted
	opStartFailed
	opExecFailed
	opPaused
	opPauseFailed
	opResumed
	opResumeFailed
	opDiscardFailed
	opDeleted
	opDeleteFailed
	opCheckpointed  // or not: it goes on as it was
	opRestored      // nobody waits for init before
	opRestoreFailed // there is none

	// the exit, in two steps around the work between death and announcement
	opExit
	opStop

	// permissions: the state stays as it is
	opExec
	opKill
	opKillExec
	opUpdate
	opResize
	opPids
	opCount
)

var opNames = [opCount]string{
	opStart: "start", opPause: "pause", opResume: "resume", opDiscard: "delete", opDelete: "delete",
	opCheckpoint: "checkpoint", opRestore: "start",
	opStarted: "start", opStartFailed: "start", opExecFailed: "start", opPaused: "pause", opPauseFailed: "pause",
	opResumed: "resume", opResumeFailed: "resume", opDiscardFailed: "delete", opDeleted: "delete",
	opDeleteFailed: "delete", opCheckpointed: "checkpoint",
	opRestored: "start", opRestoreFailed: "start", opExit: "end", opStop: "end", opExec: "exec in", opKill: "kill",
	opKillExec: "kill", opUpdate: "update", opResize: "resize", opPids: "list processes of",
}

// transitions is the one table of what may be done when, for init and exec
// alike: operation x state -> next state, none where it is refused.
var transitions = [opCount][stateCount]State{
	opStart:   {Created: Starting},
	opPause:   {Running: Pausing},
	opResume:  {Paused: Resuming},
	opDiscard: {Created: Discarding},
	opDelete:  {Created: Deleting, Prepared: Dropping, Failed: Deleting, Stopped: Deleting},

	opCheckpoint: {Running: Dumping, Paused: DumpingPaused},
	opRestore:    {Prepared: Restoring},

	opStarted:       ended(Starting, Running),
	opStartFailed:   ended(Starting, Created),
	opExecFailed:    {Starting: Failed},
	opPaused:        ended(Pausing, Paused),
	opPauseFailed:   ended(Pausing, Running),
	opResumed:       ended(Resuming, Running),
	opResumeFailed:  ended(Resuming, Paused),
	opDiscardFailed: ended(Discarding, Created),
	opDeleted:       {Deleting: Deleted, Dropping: Deleted},
	opDeleteFailed:  {Deleting: Stopped, Dropping: Prepared},
	opCheckpointed:  ended(Dumping, Running, DumpingPaused, Paused),
	opRestored:      {Restoring: Running},
	opRestoreFailed: {Restoring: Prepared},

	opExit: {
		Created: Exiting, Starting: Exiting, Running: Exiting, Pausing: Exiting,
		Paused: Exiting, Resuming: Exiting, Discarding: Exiting, Dumping: Exiting, DumpingPaused: Exiting,
	},
	opStop: {Exiting: Stopped},

	opExec: {Created: Created, Starting: Starting, Running: Running},
	opKill: {
		Created: Created, Starting: Starting, Running: Running, Pausing: Pausing,
		Paused: Paused, Resuming: Resuming, Discarding: Discarding,
		Restoring: Restoring, Dumping: Dumping, DumpingPaused: DumpingPaused,
	},
	opKillExec: {Starting: Starting, Running: Running},
	opUpdate: {
		Created: Created, Starting: Starting, Running: Running, Pausing: Pausing,
		Paused: Paused, Resuming: Resuming, Prepared: Prepared, Restoring: Restoring,
		Dumping: Dumping, DumpingPaused: DumpingPaused,
	},
	opResize: {
		Created: Created, Starting: Starting, Running: Running, Pausing: Pausing,
		Paused: Paused, Resuming: Resuming, Prepared: Prepared, Restoring: Restoring,
		Dumping: Dumping, DumpingPaused: DumpingPaused, Exiting: Exiting,
	},
	opPids: {
		Created: Created, Starting: Starting, Running: Running, Pausing: Pausing, Paused: Paused,
		Resuming: Resuming, Discarding: Discarding, Prepared: Prepared, Restoring: Restoring,
		Dumping: Dumping, DumpingPaused: DumpingPaused, Exiting: Exiting, Stopped: Stopped, Deleting: Deleting,
		Dropping: Dropping,
	},
}

// ended is the row of a result of claimed work: from each claimed state to the next
// one behind it, and nothing once the exit came first.
func ended(claimedNext ...State) [stateCount]State {
	row := [stateCount]State{Exiting: Exiting, Stopped: Stopped, Deleting: Deleting, Deleted: Deleted}
	for i := 0; i < len(claimedNext); i += 2 {
		row[claimedNext[i]] = claimedNext[i+1]
	}
	return row
}

// next returns the state after o, or a *stateError.
func (s State) next(o op) (State, error) {
	if n := transitions[o][s]; n != none {
		return n, nil
	}
	return s, &stateError{op: o, State: s}
}

// stateError says that a state does not allow an operation. It unwraps to
// errdefs.ErrNotFound if the process to signal or delete is gone already,
// and to errdefs.ErrFailedPrecondition otherwise.
type stateError struct {
	op     op
	State  State
	Object string // what the operation is for: container c, exec e of container c
}

// Error returns a sentence: pause container c: it is stopped.
func (e *stateError) Error() string {
	switch {
	case e.op == opKill && (e.State == Prepared || e.State == Dropping):
		return fmt.Sprintf("kill %s: process not created", e.Object)
	case e.op == opKillExec && (e.State == Created || e.State == Starting || e.State == Failed):
		return fmt.Sprintf("kill %s: process not created", e.Object)
	case e.gone() && (e.op == opKill || e.op == opKillExec):
		return fmt.Sprintf("kill %s: process already finished", e.Object)
	}
	return fmt.Sprintf("%s %s: it is %s", opNames[e.op], e.Object, e.State)
}

// Unwrap returns the errdefs sentinel of the refusal.
func (e *stateError) Unwrap() error {
	if e.gone() {
		return errdefs.ErrNotFound
	}
	return errdefs.ErrFailedPrecondition
}

// gone reports whether nothing is left for the operation.
func (e *stateError) gone() bool {
	switch e.op {
	case opKill:
		return e.State > Failed || e.State == Prepared || e.State == Dropping
	case opKillExec:
		return e.State > Failed
	case opDelete, opDiscard, opPids:
		return e.State == Deleted
	}
	return false
}
