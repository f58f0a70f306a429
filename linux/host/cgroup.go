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
)

// JoinCgroup moves this process into the existing cgroup at path, in every
// hierarchy that has it: the one of a unified host, those of the v1 controllers too on a
// hybrid host. It returns ENOENT if no hierarchy has the cgroup.
//
// The short-lived process that starts the daemon calls this for itself, so that
// the daemon is born inside with all its threads.
func JoinCgroup(path string) error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		return fmt.Errorf("join cgroup %s: %w", path, unix.EINVAL)
	}
	found := false
	for _, mount := range cgroupMounts(string(info)) {
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
func cgroupMounts(mountinfo string) []string {
	var mounts []string
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 5 || fields[3] != "/" {
			continue
		}
		if fstype, _, _ := strings.Cut(after, " "); fstype == "cgroup" || fstype == "cgroup2" {
			mounts = append(mounts, unescape(fields[4]))
		}
	}
	return mounts
}

// unescape undoes the \ooo by which mountinfo writes blanks and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1:i+4]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(s string) bool { return strings.Trim(s, "01234567") == "" }
