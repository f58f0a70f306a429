// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// floorMajor and floorMinor are the oldest Linux release that mini supports, for
// cgroup.kill (5.14), mount_setattr (5.12), close_range (5.9), pidfd setns
// (5.8), CLONE_INTO_CGROUP (5.7).
const (
	floorMajor = 5
	floorMinor = 14
)

// CheckKernel returns nil on Linux 5.14 or later with a cgroup2 hierarchy. Its error is
// the sentence to show the user.
func CheckKernel() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return os.NewSyscallError("uname", err)
	}
	if err := checkRelease(unix.ByteSliceToString(u.Release[:])); err != nil {
		return err
	}
	// Where systemd and cgroupfs-mount mount it: that saves parsing mountinfo.
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

// checkRelease compares a release of uname(2) with the floor. It accepts a release that
// does not begin with two numbers.
func checkRelease(release string) error {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		return nil
	}
	if major < floorMajor || major == floorMajor && minor < floorMinor {
		return fmt.Errorf("linux %s is too old: mini needs %d.%d or later", release, floorMajor, floorMinor)
	}
	return nil
}
