// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// The kernel says what went wrong, but not with which object. The functions here add that
// to the error.

// explainMount adds to the error of a filesystem that could not be made what it lacks.
func explainMount(fstype, source string, data []string, err error) error {
	var absent []string
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		absent = absentDirs(data)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("the kernel has no file system of type %q: %w", fstype, err)
	case len(absent) > 0:
		return fmt.Errorf("%s: %w", strings.Join(absent, ", "), err)
	case filepath.IsAbs(source):
		return fmt.Errorf("source %s: %w", source, err)
	}
	return err
}

// absentDirs returns the directories that an overlay's options name and that do not exist.
func absentDirs(data []string) (absent []string) {
	for _, d := range data {
		key, list, _ := strings.Cut(d, "=")
		if key != "lowerdir" && key != "upperdir" && key != "workdir" {
			continue
		}
		for _, dir := range splitLayers(list) {
			fd, err := sys.OpenAt(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY)
			if err != nil && filepath.IsAbs(dir) {
				absent = append(absent, key+" "+dir)
			}
			sys.Close(fd)
		}
	}
	return absent
}

// explainLocked adds to the error of a change of a bind's flags which flags are locked.
// tree is the bind, name its source. A nil error stays nil.
func explainLocked(tree int, name string, attr *unix.MountAttr, err error) error {
	var fs unix.Statfs_t
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, unix.EPERM) || sys.Retry(func() error { return unix.Fstatfs(tree, &fs) }) != nil:
		return fmt.Errorf("set flags: %w", err)
	}
	lost := lostFlags(uint64(fs.Flags), attr) // its ST_ flags have the values of MS_ flags
	if len(lost) == 0 {
		lost = []string{"a flag"} // of a mount below
	}
	return fmt.Errorf("%s would lose %s, which the host's mount namespace has locked: %w",
		name, strings.Join(lost, " and "), err)
}

// lostFlags returns the options that a mount with these flags loses when attr is set.
func lostFlags(flags uint64, attr *unix.MountAttr) (lost []string) {
	for _, f := range []struct {
		ms, attr uint64
		name     string
	}{
		{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY, "ro"},
		{unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID, "nosuid"},
		{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV, "nodev"},
		{unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC, "noexec"},
		{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME, "nodiratime"},
	} {
		if flags&f.ms != 0 && attr.Attr_clr&f.attr&^attr.Attr_set != 0 {
			lost = append(lost, f.name)
		}
	}
	if attr.Attr_clr&unix.MOUNT_ATTR__ATIME == 0 {
		return lost
	}
	switch is := attr.Attr_set & unix.MOUNT_ATTR__ATIME; {
	case flags&unix.MS_NOATIME != 0 && is != unix.MOUNT_ATTR_NOATIME:
		lost = append(lost, "noatime")
	case flags&unix.ST_RELATIME != 0 && is != unix.MOUNT_ATTR_RELATIME:
		lost = append(lost, "relatime")
	case flags&(unix.MS_NOATIME|unix.ST_RELATIME) == 0 && is != unix.MOUNT_ATTR_STRICTATIME:
		lost = append(lost, "strictatime")
	}
	return lost
}

// kind names the type of file in a mode.
func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFREG:
		return "a file"
	case unix.S_IFLNK:
		return "a link"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFIFO:
		return "a fifo"
	}
	return "a device"
}
