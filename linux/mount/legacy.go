// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// mountLegacy makes a mount that fsconfig(2) cannot express.
func (s *Set) mountLegacy(e *entry) error {
	t, err := s.root.openFor(e, -1)
	if err != nil {
		return err
	}
	defer sys.Close(t.fd)
	err = mountByPath(e.fstype, e.source, t.fd, &e.options)
	if err != nil || len(e.options.propagation) == 0 {
		return explainMount(e.fstype, e.source, e.options.data, err)
	}
	// mount(2) gives no descriptor of what it made: it is on top of the target.
	over, err := s.root.open(e.dest, false)
	if err != nil {
		return err
	}
	defer sys.Close(over.fd)
	return setPropagation(over.fd, e.options.propagation)
}

// remount changes what is mounted at a destination: with bind the mount alone,
// without it the superblock as well.
func (s *Set) remount(e *entry) error {
	t, err := s.root.openFor(e, -1)
	if err != nil {
		return err
	}
	defer sys.Close(t.fd)
	if at, err := isMountRoot(t.fd); err != nil || !at {
		return errors.Join(err, fmt.Errorf("nothing is mounted there: %w", unix.EINVAL))
	}
	if e.options.bind {
		return setBind(t.fd, e.dest, &e.options)
	}
	data := strings.Join(e.options.data, ",")
	if err := sys.Mount(e.source, procPath(t.fd), "", e.options.legacyFlags(), data); err != nil {
		return err
	}
	return setPropagation(t.fd, e.options.propagation)
}

// isMountRoot reports whether a descriptor is of the root of a mount.
func isMountRoot(fd int) (bool, error) {
	var st unix.Statx_t
	const flags = unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC
	if err := sys.Retry(func() error { return unix.Statx(fd, "", flags, 0, &st) }); err != nil {
		return false, os.NewSyscallError("statx", err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
