// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// CheckKernel says in a sentence why no container can be made on this host, or
// nothing. It asks the kernel for what came last of all that mini cannot do
// without, mount_setattr(2) (Linux 5.12), and cgroup2's cgroup.kill (5.14), and
// not for its version, which distributions extend.
func CheckKernel() error {
	// EBADF, for the descriptor -1, from a kernel that has the call.
	err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{})
	if errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("mini needs Linux 5.14 or later: mount_setattr: %w: %w", err, errdefs.ErrNotImplemented)
	}
	h, err := hierarchy()
	if err != nil {
		return fmt.Errorf("mini needs cgroup v2: %w", err)
	}
	can, err := h.CanKill()
	if err != nil {
		return fmt.Errorf("mini needs cgroup v2: %w", err)
	}
	if !can {
		return fmt.Errorf("mini needs Linux 5.14 or later: cgroup.kill is missing: %w", errdefs.ErrNotImplemented)
	}
	return nil
}
