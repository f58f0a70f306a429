// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// maxMapNS bounds the user namespaces that are open: each mount may have a mapping of
// its own.
const maxMapNS = 64

// mapNamespaces are the user namespaces that mounts take mappings from. Close closes
// them.
type mapNamespaces struct {
	make func(uids, gids []specs.LinuxIDMapping) (*os.File, error) // Config.MapNS
	open map[string]*os.File                                       // by idMapping.String
}

// mapOwners maps the owners of a detached tree (mount_setattr(2),
// MOUNT_ATTR_IDMAP, Linux 5.12); a nil mapping changes nothing. Precondition: the tree
// is attached nowhere yet, and the calling thread has CAP_SYS_ADMIN in the user
// namespace of its filesystem.
func (n *mapNamespaces) mapOwners(tree int, m *idMapping) error {
	if m == nil {
		return nil
	}
	ns, err := n.of(m)
	if err != nil {
		return fmt.Errorf("map owners: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	err = sys.SetMountAttr(tree, m.rec, &attr)
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("map owners: the filesystem cannot: %w", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("map owners: a mount of them is mapped already, or not ours: %w", err)
	case err != nil:
		return fmt.Errorf("map owners: %w", err)
	}
	return nil
}

// of returns a user namespace with the mapping. All mounts with it share one.
func (n *mapNamespaces) of(m *idMapping) (*os.File, error) {
	key := (&idMapping{uids: m.uids, gids: m.gids}).String()
	if ns := n.open[key]; ns != nil {
		return ns, nil
	}
	ns, err := n.make(m.uids, m.gids)
	if err != nil {
		return nil, err
	}
	if len(n.open) >= maxMapNS {
		n.close()
	}
	if n.open == nil {
		n.open = map[string]*os.File{}
	}
	n.open[key] = ns
	return ns, nil
}

func (n *mapNamespaces) close() {
	for _, ns := range n.open {
		_ = ns.Close() // read-only
	}
	n.open = nil
}
