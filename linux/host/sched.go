// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"

	"golang.org/x/sys/unix"
)

// pidTypePGID makes PR_SCHED_CORE act on a process group (PIDTYPE_PGID).
const pidTypePGID = 2

// NewCoreCookie gives this process group a core scheduling cookie of its own: the group and
// its later children share the hardware threads of a core with nobody else
// (CONFIG_SCHED_CORE, Linux 5.14).
func NewCoreCookie() error {
	err := unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_CREATE, 0, pidTypePGID, 0)
	return os.NewSyscallError("prctl PR_SCHED_CORE", err)
}
