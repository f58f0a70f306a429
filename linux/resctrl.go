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

// intendResctrl tells where the groups of linux.intelRdt will be, and what is to be
// made for them, while nothing is.
func (m *maker) intendResctrl() (root string, intended *resctrl.Group, err error) {
	rdt := m.Spec.Linux.IntelRdt
	if rdt == nil {
		return "", nil, nil
	}
	if root = m.resctrlRoot; root == "" {
		if root, err = resctrl.Root(); err != nil {
			return "", nil, fmt.Errorf("config.json: linux.intelRdt: %w", err)
		}
	}
	intended, err = resctrl.Intend(root, m.ID, rdt)
	return root, intended, err
}

// makeResctrl makes the groups of linux.intelRdt below root.
func (m *maker) makeResctrl(root string) (err error) {
	rdt := m.Spec.Linux.IntelRdt
	if rdt == nil {
		return nil
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
