// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// userNS is the container's user namespace. A nil *userNS means that the container has
// that of the shim.
type userNS struct{ uids, gids []specs.LinuxIDMapping }

// withRootRights runs a call that makes something in a directory with the rights of the
// user namespace's root. Root overrides the permissions of files that belong to the
// namespace, and has everybody's rights to the host's. With the shim's own rights
// the call would make files for the container in volumes that it may not write to.
func (u *userNS) withRootRights(dir int, do func() error) error {
	if u == nil {
		return do()
	}
	st, err := sys.Stat(dir)
	if err != nil {
		return err
	}
	if u.holds(&st) {
		return do()
	}
	return sys.WithoutOverride(do)
}

// holds reports whether an inode's owners have ids in the user namespace
// (capable_wrt_inode_uidgid in kernel/capability.c).
func (u *userNS) holds(st *unix.Stat_t) bool {
	in := func(maps []specs.LinuxIDMapping, id uint32) bool {
		return slices.ContainsFunc(maps, func(m specs.LinuxIDMapping) bool {
			return id >= m.HostID && id-m.HostID < m.Size
		})
	}
	return in(u.uids, st.Uid) && in(u.gids, st.Gid)
}

// chown changes the owner of a file to ids of the user namespace.
func (u *userNS) chown(fd int, uid, gid uint32) error {
	if u == nil {
		return sys.Chown(fd, uid, gid)
	}
	hostUID, hostGID, ok := u.hostIDs(uid, gid)
	if !ok {
		return fmt.Errorf("owner %d:%d is not mapped: %w", uid, gid, unix.EINVAL)
	}
	return sys.Chown(fd, hostUID, hostGID)
}

// hostIDs returns the host's numbers for ids of the user namespace. ok is false where
// there are none: the namespace does not map an id, or there is no namespace.
func (u *userNS) hostIDs(uid, gid uint32) (hostUID, hostGID uint32, ok bool) {
	if u == nil {
		return 0, 0, false
	}
	hostUID, ok1 := mapID(u.uids, uid)
	hostGID, ok2 := mapID(u.gids, gid)
	return hostUID, hostGID, ok1 && ok2
}

// mapID returns the host's number for a container's id.
func mapID(maps []specs.LinuxIDMapping, id uint32) (uint32, bool) {
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + (id - m.ContainerID), true
		}
	}
	return 0, false
}
