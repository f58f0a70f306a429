// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux/sys"
)

// helper is a program of the host that mounts types of its own. They are those that
// containerd's mount package knows (core/mount/mount_linux.go), for FUSE file systems
// such as fuse-overlayfs and nydus-overlayfs: of any other type the kernel is asked.
type helper struct {
	program string // in PATH
	prefix  string // of the types
}

var helpers = []helper{{"mount.fuse", "fuse."}, {"mount.fuse3", "fuse3."}}

// helperOf is the helper for a type, or nil.
func helperOf(fstype string) *helper {
	for i := range helpers {
		if strings.HasPrefix(fstype, helpers[i].prefix) {
			return &helpers[i]
		}
	}
	return nil
}

// compileHelped reads a mount of the rootfs that a helper makes. The helper, and the
// file system's server that it starts, belong into the host's mount namespace: they
// outlive the Create, and must not hold the container's. So the whole rootfs goes where
// hooks would see it, and is taken away with it.
func (s *Set) compileHelped(field string, h *helper, r *specs.Mount) error {
	for _, o := range r.Options {
		if strings.HasPrefix(o, "X-containerd.") {
			return invalid(field+".options", "%s is for containerd's mount manager", o)
		}
	}
	if strings.IndexByte(r.Type+r.Source+strings.Join(r.Options, ""), 0) >= 0 {
		return invalid(field, "holds a zero byte")
	}
	if s.c.Helper == nil {
		return unsupported(field+".type", r.Type)
	}
	s.rootfs = append(s.rootfs, rootfsMount{
		fstype: r.Type,
		source: r.Source,
		target: path.Clean("/" + r.Destination),
		helper: h,
		words:  r.Options,
	})
	s.c.HostVisibleRootfs = true
	return nil
}

// mountHelped has a helper make a mount of the rootfs. Target is where, an O_PATH
// descriptor of a directory.
func (s *Set) mountHelped(m *rootfsMount, target int) error {
	program, err := exec.LookPath(m.helper.program)
	if err != nil {
		return fmt.Errorf("%s is not in the shim's PATH: %w: %w", m.helper.program, err, errdefs.ErrNotImplemented)
	}
	at, err := os.Readlink(procPath(target))
	if err != nil {
		return err
	}
	before, err := sys.MountID(target)
	if err != nil {
		return err
	}
	if err := s.c.Helper(program, m.helperArgs(at)); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	over, err := s.openRootfs(m.target)
	if err != nil {
		return err
	}
	defer sys.Close(over)
	if after, err := sys.MountID(over); err != nil || after == before {
		return errors.Join(err, fmt.Errorf("%s has mounted nothing", program))
	}
	return nil
}

// helperArgs are a helper's arguments, as containerd has them:
// `SOURCE TARGET -o OPTION ... -t TYPE`, the type without its prefix.
func (m *rootfsMount) helperArgs(target string) []string {
	args := []string{m.source, target}
	for _, o := range m.words {
		args = append(args, "-o", o)
	}
	return append(args, "-t", strings.TrimPrefix(m.fstype, m.helper.prefix))
}
