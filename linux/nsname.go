// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// nsName is what procfs and criu call a kind of namespace.
func nsName(kind specs.LinuxNamespaceType) string {
	switch kind {
	case specs.NetworkNamespace:
		return "net"
	case specs.MountNamespace:
		return "mnt"
	}
	return string(kind)
}

// namespaceInode is the number of init's namespace.
func (c *Container) namespaceInode(kind specs.LinuxNamespaceType) (uint64, error) {
	f, err := sys.OpenProcLink(strconv.Itoa(c.init.pid)+"/ns", nsName(kind), unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var st unix.Stat_t
	err = sys.Control(f, func(fd int) (err error) {
		st, err = sys.Stat(fd)
		return err
	})
	return st.Ino, err
}
