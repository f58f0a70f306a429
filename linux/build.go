// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// clone starts init.
func (m *maker) clone() (err error) {
	if err := m.net.join(m.ns); err != nil {
		return err
	}
	if m.plan, err = m.compile(); err != nil {
		return err
	}
	m.gate.prog = m.plan.program()
	s := spawn{
		config:  fork.Config{Flags: uint64(m.ns.atClone()), Cgroup: m.group.Dir(), Program: m.gate.prog, Conn: m.end},
		newTime: m.ns.create&unix.CLONE_NEWTIME != 0,
		offsets: timeOffsets(m.Spec),
	}
	if !newNamespace(m.Spec, specs.PIDNamespace) {
		own.expectOrphans()
	}
	if m.ns.later() == 0 && !m.ns.joinsPID() {
		return m.spawn(&s)
	}
	if err := m.gate.conn.AskSenders(); err != nil {
		return err
	}
	if m.ns.later() == 0 {
		return m.spawn(&s)
	}
	own.hold()
	defer func() { err = errors.Join(err, own.release(false)) }()
	if err := m.spawn(&s); err != nil {
		return err
	}
	if err := m.reborn(); err != nil {
		return err
	}
	fault.Point("join.handed-over")
	return nil
}

func (m *maker) spawn(s *spawn) (err error) {
	m.child, err = s.run()
	_ = m.end.Close() // init has its own
	fault.Point("create.cloned")
	if cgroup.PlaceRefused(err) {
		return fmt.Errorf("cgroup %s takes no process: it is threaded, gives controllers to cgroups below it, or was removed: %w: %w", m.group.Path(), err, errdefs.ErrFailedPrecondition)
	}
	return err
}

func (m *maker) compile() (*initPlan, error) {
	proc := m.Spec.Process
	env, home := environment(proc.Env)
	prog := fork.NewProgram()
	var text *byte
	if home >= 0 {
		m.home = fork.New(prog, [homeLen]byte{})
		text = &m.home[1]
	}
	memory, err := readMemoryPolicy(m.Spec.Linux.MemoryPolicy)
	if err != nil {
		return nil, err
	}
	foreign := false
	if m.ns.create&unix.CLONE_NEWUSER != 0 {
		if foreign, err = mapsForeign(); err != nil {
			return nil, err
		}
	}
	caps := capabilities(proc.Capabilities, heldCaps())
	if caps.short {
		warn(m.Warn, ungranted(proc.Capabilities, heldCaps()))
	}
	if m.noGroups {
		warn(m.Warn, unsetGroups(proc))
	}
	ip := &initPlan{
		prog: prog, spec: m.Spec, ns: m.ns, conn: m.end, proc: m.proc, supers: m.mounts.Superblocks(), pty: -1, chroot: m.mounts.ChildChroot(), home: m.home, tasks: m.tasks,
		given: m.ns.joinsPID() && !procfsTakesPIDNS(), foreign: foreign,
		identity: identity{
			proc: proc, stdio: m.Stdio, null: m.null, caps: caps, lastCap: lastCap(),
			keyring: newKeyring(m.ID, m.Options.NoNewKeyring, true, m.Spec), lsm: newLSM(proc, !m.Options.NoNewKeyring), person: m.Spec.Linux.Personality, memory: memory, noGroups: m.noGroups,
			filter:  filter{m.filter, m.end, proc.NoNewPrivileges},
			command: newCommand(proc.Args[0], proc.Args, env, home, text),
		},
	}
	if proc.Terminal {
		ip.pty = m.mounts.PTY()
	}
	return ip, nil
}

// build leads init through its messages to the gate.
func (m *maker) build(ctx context.Context) error {
	if m.ns.unshared() != 0 {
		if _, err := reply(m.gate.conn.Recv, m.gate.prog, msgEntered, "make namespaces"); err != nil {
			return err
		}
	}
	if m.ns.create&unix.CLONE_NEWUSER != 0 {
		if err := writeMaps(m.child.Pid, m.Spec.Linux.UIDMappings, m.Spec.Linux.GIDMappings); err != nil {
			return err
		}
		if err := m.gate.conn.Send([]byte{msgMapped}); err != nil {
			return err
		}
	}
	if err := m.giveContexts(ctx); err != nil {
		return err
	}
	if err := writeOOMScore(m.child.Pid, m.Spec.Process); err != nil {
		return err
	}
	if err := sys.OnThread(func() error { return m.attach(ctx) }); err != nil {
		return err
	}
	fault.Point("create.attached")
	err := m.goOn()
	if err == nil {
		_, err = reply(m.gate.conn.Recv, m.gate.prog, msgCreated, "create process")
	}
	return commandError(m.gate.arg0, err)
}

// goOn lets the process into the root, which becomes init, or clones it into the pid
// namespace of others.
func (m *maker) goOn() (err error) {
	if m.ns.joinsPID() {
		own.hold()
		defer func() { err = errors.Join(err, own.release(false)) }()
	}
	if err := m.gate.conn.Send([]byte{msgAttached}); err != nil {
		return err
	}
	if m.slave != nil {
		if err := m.gate.conn.Send([]byte{msgTerminal}, m.slave); err != nil {
			return err
		}
	}
	if m.home != nil {
		if m.gate.home, err = receiveHome(m.gate.conn, m.gate.prog, m.Spec.Process.User.UID); err != nil {
			m.lost = m.ns.joinsPID() // it may have been cloned
			return err
		}
	}
	if !m.ns.joinsPID() {
		return nil
	}
	if err := m.reborn(); err != nil {
		return err
	}
	fault.Point("share.handed-over")
	return nil
}

// reborn takes init proper from the process that was cloned first.
func (m *maker) reborn() error {
	first := forerunner{Child: m.child}
	child, err := first.born(m.gate.conn, m.gate.prog, nil)
	if err != nil {
		m.lost = true
		return err
	}
	m.forerunner, m.child = first, child
	return nil
}
