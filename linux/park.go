// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// parked is a child that does nothing until it is killed, or the shim is.
type parked struct {
	child *fork.Child
	conn  *sys.Conn // at whose end the child waits
}

func park() (*parked, error) {
	conn, end, err := fork.Pair()
	if err != nil {
		return nil, err
	}
	p := fork.NewProgram()
	undumpable(p)
	p.KeepOnly(end)
	p.Call("wait", unix.SYS_RECVFROM, fork.FD(end.Fd(), "socket"), message(p, 0), fork.Int(1))
	p.Call("exit", unix.SYS_EXIT_GROUP)
	s := spawn{config: fork.Config{Program: p, Conn: end}}
	child, err := s.run()
	_ = end.Close()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &parked{child, conn}, nil
}

// unpark ends the placeholder. It may be called again.
func (m *maker) unpark() error {
	p := m.parked
	if p == nil {
		return nil
	}
	m.parked = nil
	return errors.Join(abandon(p.child), p.conn.Close())
}

// makeRoom lets the helpers of Create into the cgroup where pids.max is for the
// container's first process alone: the placeholder of a scope, the process that
// clones init (reborn), and a copier. settle takes it back.
func (m *maker) makeRoom() error {
	helpers := uint64(0)
	if m.parked != nil {
		helpers++
	}
	if m.ns.later() != 0 || m.ns.joinsPID() {
		helpers++
	}
	if m.mounts.CopiesUp() {
		helpers++
	}
	if helpers == 0 {
		return nil
	}
	text, err := m.group.Read(pidsMax)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil || n > helpers {
		return nil //nolint:nilerr // "max"
	}
	m.pidsMax = text
	return m.group.Write(pidsMax, strconv.FormatUint(helpers+1, 10))
}

const pidsMax = "pids.max"

// settle leaves init alone in its cgroup, with the limits that are asked for.
func (m *maker) settle() error {
	if err := m.unpark(); err != nil {
		return fmt.Errorf("end the placeholder of %s: %w", m.scope.name(), err)
	}
	if m.pidsMax == "" {
		return nil
	}
	return m.group.Write(pidsMax, m.pidsMax)
}
