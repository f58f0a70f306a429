// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Enter moves a process that waits to begin into the cgroup of the directory (O_PATH
// will do), with the errors of clone3(2) with CLONE_INTO_CGROUP (PlaceRefused).
// pid is the caller's for it. After an error the process may be in the group.
//
// The kernel moves a process where it would clone none: to where pids.max is reached
// (cgroup-v2.rst, "PID"). That is refused here, as EAGAIN.
func Enter(dir *os.File, pid int) error {
	err := writeFile(dir, "cgroup.procs", strconv.Itoa(pid))
	if errors.Is(err, unix.ENOENT) { // the group was removed
		return &os.PathError{Op: "write", Path: human(dir, "cgroup.procs"), Err: unix.ENODEV}
	}
	if err != nil {
		return err
	}
	return hasRoom(dir)
}

// hasRoom is an error if there are more processes in the group, or in one above
// it, than that allows.
func hasRoom(dir *os.File) error {
	limit, err := pidsIn(dir, "pids.max")
	if err != nil {
		return err
	}
	current, err := pidsIn(dir, "pids.current")
	if err != nil {
		return err
	}
	if current > limit {
		return &os.PathError{Op: "enter", Path: human(dir, "pids.max"), Err: unix.EAGAIN}
	}
	up, err := openDir(dir, "..")
	if err != nil {
		return err
	}
	defer up.Close()
	if ok, err := isBelow(up); err != nil || !ok {
		return err
	}
	return hasRoom(up)
}

// isBelow reports whether a directory is a cgroup that has limits: the root of the
// hierarchy has none, and above a mount's root there is no cgroup.
func isBelow(dir *os.File) (bool, error) {
	_, err := readFile(dir, "cgroup.type")
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// pidsIn reads a file of the pids controller; where that is not enabled, there is
// neither a limit nor a number.
func pidsIn(dir *os.File, file string) (uint64, error) {
	text, err := readFile(dir, file)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	return number(strings.TrimSpace(string(text))), err
}
