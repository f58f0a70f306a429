// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Controllers is a set of cgroup2 controllers by the kernel's names: cpuset,
// cpu, io, memory, hugetlb, pids, rdma, misc, ...
type Controllers []string

// ParseControllers reads a cgroup.controllers or cgroup.subtree_control file.
func ParseControllers(s string) Controllers { return strings.Fields(s) }

// Has tells whether the set holds the controller.
func (c Controllers) Has(name string) bool { return slices.Contains(c, name) }

// enable makes the wanted controllers available in the cgroup at path, by
// writing to cgroup.subtree_control of each of its ancestors from the root
// down. A controller in must that cannot be enabled is an error; the others are
// left out, as they are for stats and OOM events only.
func (h *Hierarchy) enable(path string, want, must Controllers) error {
	dir, err := openDir(h.dir, ".")
	if err != nil {
		return err
	}
	defer func() { dir.Close() }()
	at := "/"
	for name := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if err := enableIn(dir, at, want, must); err != nil {
			return err
		}
		next, err := openDir(dir, name)
		if err != nil {
			return err
		}
		dir.Close()
		dir, at = next, strings.TrimSuffix(at, "/")+"/"+name
	}
	return nil
}

// enableIn writes to one cgroup.subtree_control: all that lack in one write,
// one at a time when the kernel refuses that.
func enableIn(dir *os.File, path string, want, must Controllers) error {
	data, err := readFile(dir, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	enabled := ParseControllers(string(data))
	lack := slices.DeleteFunc(slices.Clone(want), enabled.Has)
	if len(lack) == 0 {
		return nil
	}
	refuse := func(c string, err error) error {
		return fmt.Errorf("enable controller %s below cgroup %s: %w: %w", c, path, err, errdefs.ErrFailedPrecondition)
	}
	if inhabited(dir) {
		if i := slices.IndexFunc(lack, must.Has); i >= 0 {
			return refuse(lack[i], fmt.Errorf("it has processes of its own: %w", unix.EBUSY))
		}
		return nil
	}
	if writeFile(dir, "cgroup.subtree_control", "+"+strings.Join(lack, " +")) == nil {
		return nil
	}
	var errs []error
	for _, c := range lack {
		if err := writeFile(dir, "cgroup.subtree_control", "+"+c); err != nil && must.Has(c) {
			errs = append(errs, refuse(c, err))
		}
	}
	return errors.Join(errs...)
}

// inhabited tells whether the group has processes of its own. Then it cannot
// give most controllers to its children; cpu, cpuset and pids it could, but would
// thereby make them threaded groups, which take no container. The tree's root
// alone, which has no type, may do both.
func inhabited(dir *os.File) bool {
	if _, err := readFile(dir, "cgroup.type"); errors.Is(err, unix.ENOENT) {
		return false
	}
	procs, err := readFile(dir, "cgroup.procs")
	return len(procs) > 0 || errors.Is(err, unix.EOPNOTSUPP)
}
