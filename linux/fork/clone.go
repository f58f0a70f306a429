// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

// newCloneArgs returns what clone passes to clone3. pidfd gets the process's descriptor,
// which the kernel makes close-on-exec. The child's signal handlers are the
// default ones from birth (CLONE_CLEAR_SIGHAND, Linux 5.5): it never runs Go's.
func newCloneArgs(c *Config, pidfd *int32) *cloneArgs {
	p := c.Program
	stack := NewSlice[byte](p, stackSize)
	a := New(p, cloneArgs{
		Flags:      c.Flags | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND,
		Pidfd:      uint64(address(pidfd)),
		ExitSignal: uint64(unix.SIGCHLD),
		Stack:      uint64(address(&stack[0])),
		StackSize:  stackSize,
	})
	if c.Cgroup != nil {
		a.Flags |= unix.CLONE_INTO_CGROUP
		a.Cgroup = uint64(c.Cgroup.Fd())
	}
	return a
}

// failureLen is the size of a child's report {step int32, errno int32}, in the
// machine's byte order.
const failureLen = 8

func decodeFailure(msg []byte) (int, syscall.Errno, bool) {
	if len(msg) != failureLen {
		return 0, 0, false
	}
	step := int32(binary.NativeEndian.Uint32(msg))
	errno := binary.NativeEndian.Uint32(msg[4:])
	return int(step), syscall.Errno(errno), true
}
