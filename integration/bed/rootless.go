// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// Rootless says that containerd is root of a user namespace only, with a mount
// namespace of its own, as rootlesskit makes both.
type Rootless struct {
	ID     int    // of that root on the host, which has 65536 ids
	Cgroup string // the directory that containerd is in
}

// attr is how containerd's process is made. release is to be called when it is.
func (d *Daemon) attr() (attr *syscall.SysProcAttr, release func(), err error) {
	// A session of its own, so that its signals are its own.
	attr = &syscall.SysProcAttr{Setsid: true}
	r := d.config.Rootless
	if r == nil {
		return attr, func() {}, nil
	}
	err = filepath.WalkDir(d.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, r.ID, r.ID)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.Open(r.Cgroup)
	if err != nil {
		return nil, nil, err
	}
	ids := []syscall.SysProcIDMap{{HostID: r.ID, Size: 65536}}
	attr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	attr.UidMappings, attr.GidMappings, attr.GidMappingsEnableSetgroups = ids, ids, true
	attr.Credential = &syscall.Credential{}
	attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	return attr, func() { dir.Close() }, nil
}

// CtrInside is ctr in containerd's namespaces, not started.
func (d *Daemon) CtrInside(ctx context.Context, args ...string) *exec.Cmd {
	in := []string{"--user", "--mount", "--target", strconv.Itoa(d.Pid()), "--", d.program("ctr")}
	cmd := exec.CommandContext(ctx, "nsenter", append(in, args...)...)
	cmd.Env = d.env()
	return cmd
}
