// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/criu"
	"github.com/containerd-mini/mini/linux/sys"
)

// nullMask names the null device that masked files are covered with.
const nullMask = "/dev/null"

// outerMounts tells criu which mounts of the container come from outside: what
// the specification binds, under the destination's name, and masks of files.
func (c *Container) outerMounts() ([]criu.Pair, error) {
	root, err := c.openOfInit("", "root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var list []criu.Pair
	for _, m := range c.spec.Mounts {
		if !isBind(&m) {
			continue
		}
		at, err := inside(root, m.Destination, nil)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", m.Destination, err)
		}
		list = append(list, criu.Pair{Key: at, Value: mountName(&m)})
	}
	for _, p := range c.spec.Linux.MaskedPaths {
		var st unix.Statx_t
		at, err := inside(root, p, &st)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev_major == 1 && st.Rdev_minor == 3 {
			list = append(list, criu.Pair{Key: at, Value: nullMask})
		}
	}
	for _, p := range c.mounts.Devices() {
		var st unix.Statx_t
		at, err := inside(root, p, &st)
		if err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 { // no node of its own
			list = append(list, criu.Pair{Key: at, Value: p})
		}
	}
	return list, nil
}

// sourceMounts tells criu where a restored container gets from what outerMounts
// named.
func sourceMounts(spec *specs.Spec, bundle string, devices []string) []criu.Pair {
	var list []criu.Pair
	for _, m := range spec.Mounts {
		if !isBind(&m) {
			continue
		}
		source := m.Source
		if !filepath.IsAbs(source) {
			source = filepath.Join(bundle, source)
		}
		list = append(list, criu.Pair{Key: mountName(&m), Value: source})
	}
	for _, p := range devices {
		list = append(list, criu.Pair{Key: p, Value: p})
	}
	if len(spec.Linux.MaskedPaths) > 0 && !slices.Contains(devices, nullMask) {
		list = append(list, criu.Pair{Key: nullMask, Value: nullMask})
	}
	return list
}

// isBind reports whether a mount of the specification is of something that exists
// already: what the options say, whatever the type.
func isBind(m *specs.Mount) bool {
	return slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}

func mountName(m *specs.Mount) string { return path.Clean("/" + m.Destination) }

// inside is where in a container a path of its leads to now, without links. st may
// be nil.
func inside(root *os.File, p string, st *unix.Statx_t) (at string, err error) {
	err = sys.Control(root, func(fd int) error {
		target, err := sys.OpenInRoot(fd, p, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer sys.Close(target)
		if st != nil {
			if err := unix.Statx(target, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, st); err != nil {
				return os.NewSyscallError("statx", err)
			}
		}
		at, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(target))
		return err
	})
	if err == nil && !strings.HasPrefix(at, "/") {
		err = &os.PathError{Op: "readlink", Path: at, Err: unix.EXDEV}
	}
	return at, err
}
