// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/sys"
)

// Create makes a container whose init has done everything but execve. On an error
// nothing of it is left. ErrInvalidArgument: the spec contradicts itself.
// ErrNotImplemented: it asks for what mini does not do. ErrNotFound: its command
// is not there.
func Create(ctx context.Context, c *Config) (_ *Container, err error) {
	if err := validate(c); err != nil {
		return nil, err
	}
	m := &maker{Config: c}
	defer func() {
		m.release()
		if err != nil {
			err = errors.Join(err, m.undo(context.WithoutCancel(ctx)))
		}
	}()
	for _, step := range []func() error{m.open, m.makeGroup, m.prepare, m.clone, m.build} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return m.container()
}

// maker is a Create on its way. What it holds is closed by release; what it made
// is undone by undo after an error, in reverse order.
type maker struct {
	*Config

	null, proc *os.File // the shim's, for its life
	ns         *namespaces
	group      *cgroup.Group
	mounts     *mount.Set
	gate       *gate
	end        *sys.Conn // init's end of the socket
	home       *[homeLen]byte
	wantHome   bool
	plan       *initPlan
	forerunner *fork.Child // the process that cloned init, where it had to join a user namespace first
	child      *fork.Child
	console    *os.File
	slave      *os.File // pty that init is to take; nil where it opened its own

	cgroupMount string
}

// open opens what comes from the host, while nothing of the container exists.
func (m *maker) open() (err error) {
	if m.proc, err = sys.Proc(); err != nil {
		return err
	}
	if m.null, err = null(); err != nil {
		return err
	}
	m.ns, err = openNamespaces(m.Spec)
	return err
}

// makeGroup makes the cgroup with its limits, and writes down that it exists.
func (m *maker) makeGroup() (err error) {
	h, err := hierarchy()
	if err != nil {
		return err
	}
	path, err := h.Path(m.Spec.Linux.CgroupsPath, m.ID, m.Options.SystemdCgroup)
	if err != nil {
		return err
	}
	fault.Point("create.before-cgroup")
	if m.group, err = h.Create(path, m.Spec.Linux.Resources); err != nil {
		return err
	}
	m.cgroupMount = h.Mountpoint
	fault.Point("create.cgroup")
	if err := m.Record(Record{Cgroup: path}); err != nil {
		return err
	}
	return m.group.Apply(m.Spec.Linux)
}

// prepare opens every mount source and the gate, and makes the pair of sockets.
func (m *maker) prepare() (err error) {
	uids, gids, err := m.idMaps()
	if err != nil {
		return err
	}
	rootUID, _ := uids.host(0)
	rootGID, _ := gids.host(0)
	m.mounts, err = mount.Prepare(&mount.Config{
		Spec: m.Spec, Rootfs: m.Rootfs, Bundle: m.Bundle, RootPath: rootPath(m.Bundle, m.Spec),
		UserNS: ownNamespace(m.Spec, specs.UserNamespace), RootUID: rootUID, RootGID: rootGID,
		OwnCgroupNS: ownNamespace(m.Spec, specs.CgroupNamespace), CgroupMount: m.cgroupMount, CgroupDir: filepath.Join(m.cgroupMount, m.group.Path()),
		OwnNetNS: ownNamespace(m.Spec, specs.NetworkNamespace), NoPivotRoot: m.Options.NoPivotRoot, Terminal: m.Spec.Process.Terminal,
	})
	if err != nil {
		return err
	}
	fifo, err := makeFifo(m.Bundle)
	if err != nil {
		return err
	}
	m.gate = &gate{path: filepath.Join(m.Bundle, fifoFile), fifo: fifo, arg0: m.Spec.Process.Args[0]}
	m.gate.conn, m.end, err = fork.Pair()
	fault.Point("create.prepared")
	return err
}

func rootPath(bundle string, spec *specs.Spec) string {
	if filepath.IsAbs(spec.Root.Path) {
		return spec.Root.Path
	}
	return filepath.Join(bundle, spec.Root.Path)
}

// idMaps are the maps of the container's user namespace, read from the kernel when
// it is another's.
func (m *maker) idMaps() (uids, gids idMap, err error) {
	f := m.ns.join[unix.CLONE_NEWUSER]
	if f == nil {
		return m.Spec.Linux.UIDMappings, m.Spec.Linux.GIDMappings, nil
	}
	return mapsOf(f)
}

// clone starts init.
func (m *maker) clone() (err error) {
	m.plan = m.compile()
	m.gate.prog = m.plan.program()
	s := spawn{
		config:  fork.Config{Flags: uint64(m.ns.atClone()), Cgroup: m.group.Dir(), Program: m.gate.prog, Conn: m.end},
		pidns:   m.ns.join[unix.CLONE_NEWPID],
		newTime: m.ns.create&unix.CLONE_NEWTIME != 0,
		offsets: timeOffsets(m.Spec),
	}
	if !newNamespace(m.Spec, specs.PIDNamespace) {
		own.expectOrphans()
	}
	m.child, err = s.run()
	_ = m.end.Close() // init has its own
	fault.Point("create.cloned")
	return err
}

func (m *maker) compile() *initPlan {
	proc := m.Spec.Process
	env, home := environment(proc.Env)
	prog := fork.NewProgram()
	m.home, m.wantHome = fork.New(prog, [homeLen]byte{}), home >= 0
	keyring := m.ID
	if m.Options.NoNewKeyring {
		keyring = ""
	}
	ip := &initPlan{
		prog: prog, spec: m.Spec, ns: m.ns, conn: m.end, proc: m.proc, fifo: m.gate.fifo, supers: m.mounts.Superblocks(), pty: -1, chroot: m.mounts.ChildChroot(), home: m.home,
		identity: identity{
			proc: proc, stdio: m.Stdio, null: m.null, caps: capabilities(proc.Capabilities, heldCaps()), lastCap: lastCap(),
			keyring: keyring, command: newCommand(proc, env, home, &m.home[1]),
		},
	}
	if proc.Terminal {
		ip.pty = m.mounts.PTY()
	}
	return ip
}

// build leads init through its messages to the gate.
func (m *maker) build() error {
	if m.ns.create&unix.CLONE_NEWUSER != 0 {
		if err := writeMaps(m.child.Pid, m.Spec.Linux.UIDMappings, m.Spec.Linux.GIDMappings); err != nil {
			return err
		}
		if err := m.gate.conn.Send([]byte{msgMapped}); err != nil {
			return err
		}
	}
	if m.ns.later() != 0 {
		if err := m.reborn(); err != nil {
			return err
		}
	}
	if err := writeOOMScore(m.child.Pid, m.Spec.Process); err != nil {
		return err
	}
	if err := sys.OnThread(m.attach); err != nil {
		return err
	}
	fault.Point("create.attached")
	if err := m.gate.conn.Send(m.attached()); err != nil {
		return err
	}
	if m.slave != nil {
		if err := m.gate.conn.Send([]byte{msgTerminal}, m.slave); err != nil {
			return err
		}
	}
	_, err := reply(m.gate.conn, m.gate.prog, msgCreated, "create process")
	return commandError(m.gate.arg0, err)
}

// reborn takes init proper from the process that was cloned first.
func (m *maker) reborn() error {
	fds, err := reply(m.gate.conn, m.gate.prog, msgReborn, "clone in the user namespace")
	if err != nil {
		return err
	}
	if len(fds) != 1 {
		closeAll(fds)
		return fmt.Errorf("clone in the user namespace: got %d descriptors, not 1", len(fds))
	}
	pid, err := sys.PidfdPid(fds[0])
	if err != nil {
		closeAll(fds)
		return fmt.Errorf("clone in the user namespace: %w", err)
	}
	m.forerunner, m.child = m.child, &fork.Child{Pid: pid, Pidfd: fds[0]}
	own.add(pid)
	return m.gate.conn.Send([]byte{msgReborn})
}

// attach puts the root together while init makes its superblocks and then waits.
// It runs on a thread of its own, poisoned from here: first in the container's
// mount namespace, and once init has come as far as msgMounts, and so is in all
// its namespaces, in those whose parameters are set from outside. The pivot at the
// end moves init into the root, too.
func (m *maker) attach() error {
	if err := sys.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := m.enterMounts(); err != nil {
		return err
	}
	if err := m.mounts.Begin(); err != nil {
		return err
	}
	fds, err := reply(m.gate.conn, m.gate.prog, msgMounts, "make file systems")
	if err != nil {
		return err
	}
	defer closeAll(fds)
	fault.Point("create.mounts-made")
	if err := m.enterRest(); err != nil {
		return err
	}
	if err := setSysctls(m.Spec.Linux.Sysctl); err != nil {
		return err
	}
	count := len(m.plan.supers)
	if len(fds) < count {
		return fmt.Errorf("make file systems: got %d descriptors, not %d", len(fds), count)
	}
	if err := m.mounts.Mount(fds[:count]); err != nil {
		return err
	}
	if err := m.terminal(fds[count:]); err != nil {
		return err
	}
	return m.mounts.Enter()
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
	flags := m.joins() & (unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP)
	if flags == 0 {
		return nil
	}
	if err := sys.Setns(m.child.Pidfd, flags); err != nil {
		return fmt.Errorf("enter the container's namespaces: %w", err)
	}
	return nil
}

func (m *maker) joins() int { return entered(m.Spec) }

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

// attached is message 'A'.
func (m *maker) attached() []byte {
	msg := []byte{msgAttached}
	if !m.wantHome {
		return msg
	}
	home := "/"
	if root, err := sys.OpenProcLink(strconv.Itoa(m.child.Pid), "root", unix.O_PATH|unix.O_DIRECTORY); err == nil {
		home = homeOf(root, m.Spec.Process.User.UID)
		_ = root.Close()
	}
	if len(home) > unix.PathMax-1 {
		home = "/"
	}
	return append(append(msg, "HOME="+home...), 0)
}

// container is the result.
func (m *maker) container() (*Container, error) {
	pidfd, err := sys.Pollable(m.child.Pidfd)
	if err != nil {
		return nil, err
	}
	init := &Process{pid: m.child.Pid, pidfd: pidfd, console: m.console, group: m.group}
	return &Container{
		id: m.ID, spec: m.Spec, options: m.Options, init: init, group: m.group, mounts: m.mounts,
		joins: m.joins(), gate: m.gate,
	}, nil
}

// release closes what only Create needs.
func (m *maker) release() {
	if m.ns != nil {
		m.ns.close()
	}
	closeAll([]*os.File{m.slave})
	if m.forerunner != nil {
		_, _ = sys.PidfdWait(m.forerunner.Pidfd) // it has nothing more to say
		own.remove(m.forerunner.Pid)
		_ = m.forerunner.Pidfd.Close()
	}
}

// undo takes back what was made.
func (m *maker) undo(ctx context.Context) (err error) {
	if m.child != nil {
		err = errors.Join(err, abandon(m.child))
	}
	closeAll([]*os.File{m.console})
	if m.gate != nil {
		if m.end != nil {
			_ = m.end.Close() // closed by clone, unless that was not reached
			_ = m.gate.conn.Close()
		}
		_ = m.gate.fifo.Close()
		err = errors.Join(err, os.Remove(m.gate.path))
	}
	if m.mounts != nil {
		err = errors.Join(err, m.mounts.Undo(), m.mounts.Close())
	}
	if m.group != nil {
		err = errors.Join(err, m.group.Delete(ctx))
	}
	return err
}
