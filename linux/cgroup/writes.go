// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// WatchWrites has each write(2) to a file of the group's, by any process, told to who
// reads from the result, which is an inotify(7) instance of its own: a user has 128 of
// them. It does not tell when the group is gone. The caller closes it.
func (g *Group) WatchWrites(file string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	err = withFd(g.dir, func(dir int) error {
		_, err := unix.InotifyAddWatch(fd, fmt.Sprintf("/proc/self/fd/%d/%s", dir, file), unix.IN_MODIFY)
		return err
	})
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "inotify_add_watch", Path: human(g.dir, file), Err: err}, watch.Close())
	}
	return watch, nil
}
