// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/containerd/errdefs"
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

// openOfInit opens what a link of init's directory in procfs leads to. Afterwards
// the pid was still init's. ErrFailedPrecondition: init has ended.
func (c *Container) openOfInit(dir, link string, flags int) (*os.File, error) {
	f, err := sys.OpenProcLink(strconv.Itoa(c.init.pid)+dir, link, flags)
	if err == nil {
		if err = sys.PidfdSend(c.init.pidfd, 0); err != nil {
			_ = f.Close() // nothing was written
		}
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrClosed) {
		return nil, fmt.Errorf("its init process has ended: %w", errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// namespaceInode is the number of init's namespace.
func (c *Container) namespaceInode(kind specs.LinuxNamespaceType) (uint64, error) {
	f, err := c.openOfInit("/ns", nsName(kind), unix.O_RDONLY)
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
