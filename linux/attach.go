// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/sys"
)

// attach puts the root together while init makes its superblocks and then waits.
// It runs on a thread of its own, poisoned from here: first in the container's
// mount namespace, and once init has come as far as msgMounts, and so is in all
// its namespaces, in those whose parameters are set from outside. The pivot at the
// end moves init into the root, too.
func (m *maker) attach(ctx context.Context) error {
	if err := sys.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := m.enterMounts(); err != nil {
		return m.lastWords(err)
	}
	if err := m.mounts.Begin(); err != nil {
		return err
	}
	made := handover{receive: m.receiveMounts}
	defer func() { made.close() }()
	if err := made.more(); err != nil {
		return err
	}
	fault.Point("create.mounts-made")
	if err := m.enterRest(); err != nil {
		return err
	}
	if err := m.mounts.Mount(made.next); err != nil {
		return err
	}
	fault.Point("create.mounted")
	if err := m.terminal(made.files); err != nil {
		return err
	}
	if err := m.runOnHost(ctx); err != nil {
		return err
	}
	// Behind the hooks, which may have brought the interface that one is about.
	if err := m.setSysctls(); err != nil {
		return err
	}
	return m.mounts.Enter()
}

func (m *maker) receiveMounts() ([]*os.File, error) {
	return reply(m.gate.conn.RecvOnThread, m.gate.prog, msgMounts, "make file systems")
}

// lastWords is why init has ended, where err says no more than that it has.
func (m *maker) lastWords(err error) error {
	if !errors.Is(err, unix.ESRCH) {
		return err
	}
	fds, rerr := m.receiveMounts()
	closeAll(fds)
	if rerr != nil {
		return rerr
	}
	return err
}

func (m *maker) enterMounts() error {
	f := m.ns.join[unix.CLONE_NEWNS]
	if f == nil {
		f = m.child.Pidfd
	}
	if err := sys.Setns(f, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the container's mount namespace: %w", err)
	}
	return nil
}

func (m *maker) enterRest() error {
	flags := entered(m.Spec) & (unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP)
	if flags == 0 {
		return nil
	}
	if err := sys.Setns(m.child.Pidfd, flags); err != nil {
		return fmt.Errorf("enter the container's namespaces: %w", err)
	}
	return nil
}

// terminal takes the pty that init opened, or where init could not, opens one in
// the container's /dev/pts for init to take.
func (m *maker) terminal(pty []*os.File) (err error) {
	if !m.Spec.Process.Terminal {
		return nil
	}
	if m.plan.pty < 0 {
		master, slave, err := m.mounts.OpenPTY()
		if err != nil {
			return err
		}
		m.slave = slave
		pty = []*os.File{master, slave}
		defer master.Close()
	}
	if len(pty) != 2 {
		return fmt.Errorf("open terminal: got %d descriptors, not 2", len(pty))
	}
	if err := m.mounts.Console(pty[1]); err != nil {
		return err
	}
	m.console, err = console(pty[0], m.Spec.Process.ConsoleSize)
	return err
}
