// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/resctrl"
)

// makeResctrl makes the groups of linux.intelRdt. It comes before the cgroup, so
// that the record of the one tells of the other.
func (m *maker) makeResctrl() (err error) {
	rdt := m.Spec.Linux.IntelRdt
	if rdt == nil {
		return nil
	}
	root := m.resctrlRoot
	if root == "" {
		if root, err = resctrl.Root(); err != nil {
			return fmt.Errorf("config.json: linux.intelRdt: %w", err)
		}
	}
	if m.resctrl, err = resctrl.Make(root, m.ID, rdt); err != nil {
		return err
	}
	m.tasks, err = m.resctrl.Tasks()
	return err
}

// joinResctrl puts the child into its groups: "0" is the writing process. It comes
// first, as it needs the shim's user.
func joinResctrl(p *fork.Program, tasks []*os.File) {
	for i, f := range tasks {
		name := "tasks" + strconv.Itoa(i)
		p.Call("join resctrl group", unix.SYS_WRITE, fork.FD(f.Fd(), name), fork.Str("0"), fork.Int(1))
		p.Call("join resctrl group", unix.SYS_CLOSE, fork.FD(f.Fd(), name))
	}
}
