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

// helper is a program of the host that mounts filesystems of certain types. The helpers
// are those that containerd's mount package knows (core/mount/mount_linux.go), for FUSE
// filesystems such as fuse-overlayfs and nydus-overlayfs. The kernel mounts the others.
type helper struct {
	program string // in PATH
	prefix  string // of the types
}

var helpers = []helper{{"mount.fuse", "fuse."}, {"mount.fuse3", "fuse3."}}

// helperOf returns the helper for a type, or nil.
func helperOf(fstype string) *helper {
	for i := range helpers {
		if strings.HasPrefix(fstype, helpers[i].prefix) {
			return &helpers[i]
		}
	}
	return nil
}

// compileHelped reads a mount of the rootfs that a helper makes.
func compileHelped(c *Config, field string, h *helper, r *specs.Mount) (m rootfsMount, err error) {
	for _, o := range r.Options {
		if strings.HasPrefix(o, "X-containerd.") {
			return m, invalid(field+".options", "%s is for containerd's mount manager", o)
		}
	}
	if strings.IndexByte(r.Type+r.Source+strings.Join(r.Options, ""), 0) >= 0 {
		return m, invalid(field, "holds a zero byte")
	}
	if c.Helper == nil {
		return m, unsupported(field+".type", r.Type)
	}
	return rootfsMount{
		fstype: r.Type,
		source: r.Source,
		target: path.Clean("/" + r.Destination),
		helper: h,
		words:  r.Options,
	}, nil
}

// mountHelped has a helper make a mount of the rootfs on target, an O_PATH descriptor
// of a directory.
func (r *rootfsMaker) mountHelped(m *rootfsMount, target int) error {
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
	if err := r.help(program, m.helperArgs(at)); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	over, err := r.open(m.target)
	if err != nil {
		return err
	}
	defer sys.Close(over)
	if after, err := sys.MountID(over); err != nil || after == before {
		return errors.Join(err, fmt.Errorf("%s has mounted nothing", program))
	}
	return nil
}

// helperArgs returns a helper's arguments in containerd's form:
// `SOURCE TARGET -o OPTION ... -t TYPE`. The type has no prefix.
func (m *rootfsMount) helperArgs(target string) []string {
	args := []string{m.source, target}
	for _, o := range m.words {
		args = append(args, "-o", o)
	}
	return append(args, "-t", strings.TrimPrefix(m.fstype, m.helper.prefix))
}
