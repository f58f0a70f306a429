// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Path turns linux.cgroupsPath of a spec into the cgroup's path below the
// mount, always absolute and clean:
//
//	/a/b               -> /a/b
//	a/b                -> a/b beside the shim's own cgroup, as runc does: its own
//	                      one has processes, so it can give its children no
//	                      controllers
//	(empty)            -> the container's id, as a relative path
//
// A path with "..", or that is the root, is ErrInvalidArgument. The form
// slice:prefix:name, which package systemd reads, is a name like others here.
func (h *Hierarchy) Path(cgroupsPath, id string) (string, error) {
	return resolve(cgroupsPath, id, h.own)
}

// resolve is Path; own is asked for a relative path only.
func resolve(cgroupsPath, id string, own func() (string, error)) (string, error) {
	p := cgroupsPath
	if p == "" {
		p = id
	}
	if slices.Contains(strings.Split(p, "/"), "..") || strings.ContainsAny(p, "\x00\n") {
		return "", fmt.Errorf("linux.cgroupsPath %q: not a cgroup's name: %w", p, errdefs.ErrInvalidArgument)
	}
	clean := path.Clean("/" + p)
	if clean == "/" {
		return "", fmt.Errorf("linux.cgroupsPath %q: the root is no container's cgroup: %w", p, errdefs.ErrInvalidArgument)
	}
	if path.IsAbs(p) {
		return clean, nil
	}
	mine, err := own()
	if err != nil {
		return "", err
	}
	return path.Join(path.Dir(mine), clean), nil
}
