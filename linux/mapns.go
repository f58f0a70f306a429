// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// mapNS gives a user namespace with these maps, or with nil the container's own,
// for mounts whose owners are mapped. Where the container has such a namespace it
// is that one: in a pod every mount has the pod's mapping, and a namespace of its
// own costs a clone.
func (m *maker) mapNS(uids, gids []specs.LinuxIDMapping) (*os.File, error) {
	l := m.Spec.Linux
	made := m.ns.create&unix.CLONE_NEWUSER != 0
	if uids == nil {
		if f := m.ns.join[unix.CLONE_NEWUSER]; f != nil {
			return sys.OpenProcLink("self/fd", strconv.Itoa(sys.FD(f)), os.O_RDONLY)
		}
		if !made { // it was joined by path, and is the shim's own
			return nil, invalid("mounts", "mapped owners in the host's user namespace need mappings")
		}
		uids, gids = l.UIDMappings, l.GIDMappings
	}
	if made && m.child != nil && slices.Equal(uids, l.UIDMappings) && slices.Equal(gids, l.GIDMappings) {
		return sys.OpenProcLink(strconv.Itoa(m.child.Pid)+"/ns", "user", os.O_RDONLY)
	}
	return newUserNS(uids, gids)
}

// newUserNS makes a user namespace that no process is in: a child is born in it,
// waits until its namespace is open, and is killed.
//
// The caller's thread may be in a container's namespaces: the clone is not its own.
func newUserNS(uids, gids idMap) (ns *os.File, err error) {
	err = onHost(func() error {
		return withChild(unix.CLONE_NEWUSER, func(pid int) error {
			if err := writeMaps(pid, uids, gids); err != nil {
				return err
			}
			ns, err = sys.OpenProcLink(strconv.Itoa(pid)+"/ns", "user", os.O_RDONLY)
			return err
		})
	})
	return ns, err
}

// withChild calls use while a child with new namespaces waits, and ends it.
func withChild(flags int, use func(pid int) error) error {
	foreign, err := mapsForeign()
	if err != nil {
		return err
	}
	parent, end, err := fork.Pair()
	if err != nil {
		return err
	}
	defer parent.Close()
	p := fork.NewProgram()
	unmapped(p, foreign)
	p.KeepOnly(end)
	p.Call("wait", unix.SYS_RECVFROM, fork.FD(end.Fd(), "socket"), message(p, 0), fork.Int(1))
	p.Call("exit", unix.SYS_EXIT_GROUP)
	s := spawn{config: fork.Config{Flags: uint64(flags), Program: p, Conn: end}}
	child, err := s.run()
	_ = end.Close()
	if err != nil {
		return err
	}
	err = use(child.Pid)
	if aerr := abandon(child); err == nil {
		err = aerr
	}
	return err
}
