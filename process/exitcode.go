// SPDX-License-Identifier: Apache-2.0

package process

import "time"

// Exit says how a process ended. The zero Exit is that of an exec that never
// started.
type Exit struct {
	Pid  int
	Code uint32 // exit code, or 128 + the signal that ended it
	At   time.Time
}

// unknownCode is the exit code of a process whose own code cannot be known, as in
// containerd's client (UnknownExitStatus).
const unknownCode = 255

// killedCode is the exit code of a process that SIGKILL ended. It is that of a container
// that died with its shim, because Cleanup sends it SIGKILL.
const killedCode = 128 + 9
