// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Floor is the oldest Linux release that has all that mini is built on:
// cgroup.kill (5.14), mount_setattr (5.12), close_range (5.9), pidfd setns
// (5.8), CLONE_INTO_CGROUP (5.7).
const (
	FloorMajor = 5
	FloorMinor = 14
)

// CheckKernel returns nil where containers can be made: Linux 5.14 with a
// cgroup2 hierarchy. Otherwise the error is the sentence to show the user.
func CheckKernel() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return os.NewSyscallError("uname", err)
	}
	if err := checkRelease(unix.ByteSliceToString(u.Release[:])); err != nil {
		return err
	}
	// The two places systemd and cgroupfs-mount put it, which need no parsing.
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if isCgroup2(dir) {
			return nil
		}
	}
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if !strings.Contains(string(info), " - cgroup2 ") {
		return fmt.Errorf("no cgroup2 file system is mounted: mini does not run on cgroup v1 alone")
	}
	return nil
}

func isCgroup2(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && uint32(fs.Type) == unix.CGROUP2_SUPER_MAGIC
}

// checkRelease compares a release as uname(2) gives it with the floor. One that
// does not begin with two numbers is let through.
func checkRelease(release string) error {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		return nil
	}
	if major < FloorMajor || major == FloorMajor && minor < FloorMinor {
		return fmt.Errorf("linux %s is too old: mini needs %d.%d or later", release, FloorMajor, FloorMinor)
	}
	return nil
}
