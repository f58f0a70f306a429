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

// parseControllers reads a cgroup.controllers or cgroup.subtree_control file.
func parseControllers(s string) Controllers { return strings.Fields(s) }

// has reports whether the set holds the controller.
func (c Controllers) has(name string) bool { return slices.Contains(c, name) }

// enable makes the wanted controllers available in the cgroup at path, by
// writing to cgroup.subtree_control of each of its ancestors from the root
// down. It is an error if a controller in must cannot be enabled. The others are for
// stats and OOM events only, and enable leaves them out.
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

// enableIn writes to one cgroup.subtree_control: all that are missing in one write, or
// one at a time if the kernel refuses that.
func enableIn(dir *os.File, path string, want, must Controllers) error {
	data, err := readFile(dir, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	enabled := parseControllers(string(data))
	lack := slices.DeleteFunc(slices.Clone(want), enabled.has)
	if len(lack) == 0 {
		return nil
	}
	refuse := func(c string, err error) error {
		return fmt.Errorf("enable controller %s below cgroup %s: %w: %w", c, path, err, errdefs.ErrFailedPrecondition)
	}
	if inhabited(dir) {
		if i := slices.IndexFunc(lack, must.has); i >= 0 {
			return refuse(lack[i], fmt.Errorf("it has processes of its own: %w", unix.EBUSY))
		}
		return nil
	}
	if writeFile(dir, "cgroup.subtree_control", "+"+strings.Join(lack, " +")) == nil {
		return nil
	}
	var errs []error
	for _, c := range lack {
		if err := writeFile(dir, "cgroup.subtree_control", "+"+c); err != nil && must.has(c) {
			errs = append(errs, refuse(c, err))
		}
	}
	return errors.Join(errs...)
}

// inhabited reports whether the group has processes of its own. Such a group cannot
// give most controllers to its children. It could give them cpu, cpuset and pids, but
// that would make them threaded groups, which take no container. Only the tree's root,
// which has no type, may do both.
func inhabited(dir *os.File) bool {
	if _, err := readFile(dir, "cgroup.type"); errors.Is(err, unix.ENOENT) {
		return false
	}
	procs, err := readFile(dir, "cgroup.procs")
	return len(procs) > 0 || errors.Is(err, unix.EOPNOTSUPP)
}
