// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// delegateList names the files whose owner may manage a delegated group, one a
// line (kernel 4.15).
const delegateList = "/sys/kernel/cgroup/delegate"

// delegateDefault is the specification's list for a kernel without one
// (config-linux.md, "Cgroup ownership").
const delegateDefault = "cgroup.procs cgroup.subtree_control cgroup.threads"

// Delegate gives the group to a user of the host: its directory and the files
// that the kernel lists for that, those of them that the group has. An id of -1
// leaves that owner as it is. It is for a container with a cgroup namespace of its
// own and a writable cgroup mount.
func (g *Group) Delegate(uid, gid int) error {
	return g.delegate(uid, gid, delegateList)
}

func (g *Group) delegate(uid, gid int, list string) error {
	data, err := os.ReadFile(list)
	if errors.Is(err, os.ErrNotExist) {
		data, err = []byte(delegateDefault), nil
	}
	if err != nil {
		return err
	}
	for _, name := range append([]string{"."}, strings.Fields(string(data))...) {
		err := withFd(g.dir, func(fd int) error { return unix.Fchownat(fd, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW) })
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "chown", Path: human(g.dir, name), Err: err}
		}
	}
	return nil
}
