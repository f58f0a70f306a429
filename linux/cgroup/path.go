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
//	slice:prefix:name  -> systemd's form; also when systemd is asked for
//
// systemd's form is answered with ErrNotImplemented. A path with "..", or that
// is the root, is ErrInvalidArgument.
func (h *Hierarchy) Path(cgroupsPath, id string, systemd bool) (string, error) {
	if systemd || isSystemdPath(cgroupsPath) {
		return "", fmt.Errorf("linux.cgroupsPath %q: the systemd cgroup driver: %w", cgroupsPath, errdefs.ErrNotImplemented)
	}
	return resolve(cgroupsPath, id, h.own)
}

// resolve is Path without the systemd driver; own is asked for a relative path
// only.
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

// isSystemdPath tells slice:prefix:name, which containerd's CRI plugin sends
// to systemd hosts whatever the runtime's options say, from a cgroup's path.
func isSystemdPath(p string) bool {
	return strings.Count(p, ":") == 2 && !strings.Contains(p, "/")
}
