// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/netdev"
	"github.com/containerd-mini/mini/linux/resctrl"
	"github.com/containerd-mini/mini/linux/seccomp"
	"github.com/containerd-mini/mini/linux/sys"
)

// Create makes a container whose init has done everything but execve. On an error
// nothing of it is left. ErrInvalidArgument: the spec contradicts itself.
// ErrNotImplemented: it asks for what mini does not do. ErrNotFound: its command
// is not there. The end of ctx ends what init is waited for, and hooks; what a thread of
// the shim does, such as a mount whose server does not answer, ends when it can.
func Create(ctx context.Context, c *Config) (_ *Container, err error) {
	if err := errors.Join(validate(c), checkRights()); err != nil {
		return nil, err
	}
	m := &maker{Config: c, hooks: newHooks(c.Bundle, c.ID, c.Spec)}
	defer func() {
		m.release()
		if err != nil {
			err = errors.Join(err, m.undo(context.WithoutCancel(ctx)))
		}
	}()
	makeInit := func() error {
		if err := m.clone(); err != nil {
			return err
		}
		return m.build(ctx)
	}
	for _, step := range []func() error{
		m.compileFilter, m.open,
		func() error { return m.makeGroup(ctx) }, func() error { return m.prepare(ctx) }, m.makeRoom,
		func() error { return until(ctx, m.gate.conn, makeInit) },
		m.settle, m.recordInit,
	} {
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

	hooks      *hooks
	hooked     bool     // the hooks' turn has come: poststop is due
	null, proc *os.File // the shim's, for its life
	ns         *namespaces
	net        *netMaker
	filter     *seccomp.Filter // nil: none
	group      *cgroup.Group
	record     Record
	scope      *scope  // nil: systemd has no part in it
	parked     *parked // the scope's first process, until there is init
	pidsMax    string  // what settle is to write, or ""
	mounts     *mount.Set
	gate       *gate
	end        *sys.Conn      // init's end of the socket
	home       *[homeLen]byte // where init takes HOME=; nil: it is not looked up
	plan       *initPlan
	forerunner forerunner // that cloned init, where it had to join namespaces first
	child      *fork.Child
	lost       bool // a child of ours may be in the cgroup whose pid we were not told
	console    *os.File
	devices    *netdev.Moved
	resctrl    *resctrl.Group // or nil
	tasks      []*os.File     // of resctrl, to which init writes itself
	noGroups   bool           // the user namespace denies setgroups
	rootUID    uint32         // the container's root on the host
	rootGID    uint32
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
	if m.ns, err = openNamespaces(m.Spec); err != nil {
		return err
	}
	m.net = startNet(m.ns)
	return nil
}

// prepare reads what is to be mounted, makes the gate and the pair of sockets.
func (m *maker) prepare(ctx context.Context) (err error) {
	if err := m.prepareMounts(ctx); err != nil {
		return err
	}
	m.gate = &gate{arg0: m.Spec.Process.Args[0]}
	m.gate.conn, m.end, err = fork.Pair()
	fault.Point("create.prepared")
	return err
}

// prepareMounts reads what is to be mounted, and mounts the rootfs where hooks
// of the host must see it.
func (m *maker) prepareMounts(ctx context.Context) (err error) {
	uids, gids, err := m.idMaps()
	if err != nil {
		return err
	}
	if err := m.delegate(uids); err != nil {
		return err
	}
	m.rootUID, _ = uids.host(0)
	m.rootGID, _ = gids.host(0)
	if len(uids) > 0 {
		if err := checkRoot(m.rootUID, m.rootGID); err != nil {
			return err
		}
	}
	ownsNet, err := m.ns.ownsNet()
	if err != nil {
		return err
	}
	userns := ownNamespace(m.Spec, specs.UserNamespace)
	m.mounts, err = mount.Prepare(&mount.Config{
		Spec: m.Spec, Rootfs: m.Rootfs, Bundle: m.Bundle, RootPath: rootPath(m.Bundle, m.Spec),
		UserNS: userns, RootUID: m.rootUID, RootGID: m.rootGID, UIDs: uids, GIDs: gids,
		OwnCgroupNS: ownNamespace(m.Spec, specs.CgroupNamespace), CgroupMount: m.cgroupMount, CgroupDir: filepath.Join(m.cgroupMount, m.group.Path()),
		OwnNetNS: ownsNet, NoPivotRoot: m.Options.NoPivotRoot, Terminal: m.Spec.Process.Terminal, MapNS: m.mapNS,
		CopyUp:            (&copier{group: m.group.Dir(), uid: m.rootUID, gid: m.rootGID, userns: userns}).run,
		Helper:            mountHelper(ctx, m.Bundle),
		HostVisibleRootfs: m.hooks.seeRootfs(), InitPid: m.innerPid,
	})
	return err
}

// innerPid is init's pid as its procfs has it. In the pid namespace of others init is born
// when all is mounted.
func (m *maker) innerPid() (int, error) {
	if m.ns.joinsPID() {
		return 0, notImplemented("linux.maskedPaths or linux.readonlyPaths", "a path below /proc/self in a joined pid namespace")
	}
	return innerPid(m.child.Pid)
}

func rootPath(bundle string, spec *specs.Spec) string {
	if filepath.IsAbs(spec.Root.Path) {
		return spec.Root.Path
	}
	return filepath.Join(bundle, spec.Root.Path)
}

// idMaps are the maps of the container's user namespace, read from the kernel when
// it is another's. Sets m.noGroups.
func (m *maker) idMaps() (uids, gids idMap, err error) {
	f := m.ns.join[unix.CLONE_NEWUSER]
	if f == nil {
		m.noGroups = ownGroupsDenied()
		return m.Spec.Linux.UIDMappings, m.Spec.Linux.GIDMappings, nil
	}
	uids, gids, m.noGroups, err = mapsOf(f)
	return uids, gids, err
}

// container is the result.
func (m *maker) container() (_ *Container, err error) {
	c := m.made()
	c.joins = m.ns.entered(m.Spec)
	c.init = &Process{pid: m.child.Pid, pidfd: m.child.Pidfd, console: m.console}
	if c.streams, err = m.streams(); err != nil {
		return nil, err
	}
	m.gate.executed = func() error { return c.executed(m.gate.conn, m.gate.prog, c.init, specs.StateCreated) }
	c.gate = m.gate
	if m.devices != nil {
		err = m.devices.Close()
	}
	m.resctrl.Joined()
	return c, err
}

// made is a container without its init and its gate.
func (m *maker) made() *Container {
	return &Container{
		id: m.ID, bundle: m.Bundle, spec: m.Spec, options: m.Options, group: m.group, scope: m.scope, mounts: m.mounts, joins: entered(m.Spec),
		hooks: m.hooks, filter: m.filter, warn: m.Warn, resctrl: m.resctrl,
	}
}
