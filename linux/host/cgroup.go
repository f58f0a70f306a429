// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// JoinCgroup moves this process into the existing cgroup at path, in every
// hierarchy that has it: the one of a unified host, those of the v1 controllers too on a
// hybrid host. It returns ENOENT if no hierarchy has the cgroup.
//
// The short-lived process that starts the daemon calls this for itself, so that
// the daemon is born inside with all its threads. After an error it may be in the cgroup
// in some hierarchies: then it must end, and with it that does.
func JoinCgroup(path string) error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		return fmt.Errorf("join cgroup %s: %w", path, unix.EINVAL)
	}
	mounts, err := cgroupMounts(string(info))
	if err != nil {
		return err
	}
	found := false
	for _, mount := range mounts {
		err := os.WriteFile(mount+"/"+path+"/cgroup.procs", []byte("0"), 0)
		switch {
		case err == nil:
			found = true
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("join cgroup %s: %w", path, err)
		}
	}
	if !found {
		return fmt.Errorf("join cgroup %s: %w", path, unix.ENOENT)
	}
	return nil
}

// cgroupMounts lists the mount points of whole cgroup hierarchies, v1 and v2,
// in the text of /proc/<pid>/mountinfo (proc_pid_mountinfo(5)).
func cgroupMounts(mountinfo string) ([]string, error) {
	all, err := sys.ReadMountinfo(strings.NewReader(mountinfo))
	if err != nil {
		return nil, err
	}
	var mounts []string
	for _, m := range all {
		if m.Root == "/" && (m.Type == "cgroup" || m.Type == "cgroup2") {
			mounts = append(mounts, m.Path)
		}
	}
	return mounts, nil
}
