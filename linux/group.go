// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/sys"
)

// makeGroup makes the cgroup with its limits, and writes down that it exists, and
// which resctrl groups will, before it makes those.
func (m *maker) makeGroup(ctx context.Context) (err error) {
	h, err := hierarchy()
	if err != nil {
		return err
	}
	path, scope, err := place(h, m.Spec, m.ID, m.Options)
	if err != nil {
		return err
	}
	root, intended, err := m.intendResctrl()
	if err != nil {
		return err
	}
	fault.Point("create.before-cgroup")
	if scope != nil {
		err = m.makeScope(ctx, h, scope)
	} else {
		m.group, err = h.Create(path, m.Spec.Linux.Resources)
	}
	if err != nil {
		return err
	}
	m.cgroupMount = h.Mountpoint
	fault.Point("create.cgroup")
	inode, err := m.group.Inode()
	if err != nil {
		return err
	}
	m.record = Record{Cgroup: m.group.Path(), Inode: inode, Scope: m.scope.name(), Resctrl: intended}
	if err := m.Record(m.record); err != nil {
		return err
	}
	if err := m.makeResctrl(root); err != nil {
		return err
	}
	// systemd is told before anything that takes time, such as a hook: until then it
	// takes limits back when it is made to reload.
	return m.scope.change(ctx, m.group, m.Spec.Linux.Resources, func() error { return m.group.Apply(m.Spec.Linux) })
}

// recordInit writes down which process init is, before it can leave the cgroup.
func (m *maker) recordInit() error { return m.recordProcess(m.child.Pid) }

// recordProcess is recordInit for a child that nobody has waited for.
func (m *maker) recordProcess(pid int) error {
	stat, err := sys.ReadProcStat(pid)
	if err != nil {
		return fmt.Errorf("record init: %w", err)
	}
	m.record.Init = &RecordedInit{Pid: pid, Start: stat.Start}
	return m.Record(m.record)
}
