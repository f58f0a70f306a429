// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pids reads cgroup.procs of dir and everything below it.
func pids(dir *os.File) ([]int, error) {
	list, err := membersOf(dir)
	if err != nil {
		return nil, err
	}
	w := walker{at: func(dir *os.File) error {
		more, err := membersOf(dir)
		list = append(list, more...)
		return err
	}}
	return list, w.below(dir)
}

// membersOf reads cgroup.procs of dir. A threaded group has no processes of its own: they
// are listed by its domain, further up.
func membersOf(dir *os.File) ([]int, error) {
	data, err := readFile(dir, "cgroup.procs")
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, err
	}
	list, err := parsePids(string(data))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", human(dir, "cgroup.procs"), err)
	}
	return list, nil
}

// parsePids reads cgroup.procs: one pid a line, 0 for one that this pid
// namespace does not see.
func parsePids(s string) ([]int, error) {
	var list []int
	for line := range strings.Lines(s) {
		pid, err := strconv.ParseInt(strings.TrimSuffix(line, "\n"), 10, 32)
		if err != nil || pid < 0 {
			return nil, fmt.Errorf("%q is no pid", line)
		}
		if pid > 0 {
			list = append(list, int(pid))
		}
	}
	return list, nil
}
