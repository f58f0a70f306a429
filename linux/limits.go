// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux/sys"
)

// Limits of the kernel on the length of what a specification lists. What is above
// one is refused by its field's name, as the kernel's own error would not say what is
// too long (E2BIG, EINVAL, ENOSPC), or would say it at Start only.
const (
	maxGroups     = 65536   // NGROUPS_MAX, linux/limits.h
	maxMapLines   = 340     // UID_GID_MAP_MAX_EXTENTS, include/linux/user_namespace.h
	maxStrings    = 6 << 20 // three quarters of _STK_LIM, bprm_stack_limits in fs/exec.c
	stringPages   = 32      // MAX_ARG_STRLEN, linux/binfmts.h
	sizeofPointer = strconv.IntSize / 8
	// fewMounts is what any machine lets through (fs.mount-max is 100,000 by default).
	fewMounts = 10_000
)

// checkStrings refuses arguments and an environment that execve(2) would.
func checkStrings(field string, p *specs.Process) error {
	longest := stringPages * os.Getpagesize()
	total := 0
	for _, list := range []struct {
		name    string
		strings []string
	}{{".args", p.Args}, {".env", p.Env}} {
		for i, s := range list.strings {
			at := field + list.name + "[" + strconv.Itoa(i) + "]"
			switch {
			case strings.IndexByte(s, 0) >= 0:
				return invalid(at, "holds a NUL byte")
			case len(s) >= longest:
				return invalid(at, "%d bytes, the kernel takes %d", len(s), longest-1)
			}
			total += len(s) + 1 + sizeofPointer
		}
	}
	if total > maxStrings {
		return invalid(field, "args and env are %d bytes, the kernel takes %d", total, maxStrings)
	}
	return nil
}

// checkMapLines refuses maps that the kernel would: it takes a page of text.
func checkMapLines(field string, m idMap) error {
	if len(m) > maxMapLines {
		return invalid(field, "%d lines, the kernel takes %d", len(m), maxMapLines)
	}
	if n := len(m.text()); n >= os.Getpagesize() {
		return invalid(field, "%d bytes of text, the kernel takes %d", n, os.Getpagesize()-1)
	}
	return nil
}

// checkMountCount refuses more mounts than a mount namespace may have.
func checkMountCount(spec *specs.Spec) error {
	n := len(spec.Mounts) + len(spec.Linux.MaskedPaths) + len(spec.Linux.ReadonlyPaths)
	if n <= fewMounts {
		return nil
	}
	text, err := sys.ReadProc("sys/fs/mount-max")
	if err != nil {
		return err
	}
	limit, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return err
	}
	if n > limit {
		return invalid("mounts", "with masked and read-only paths %d, fs.mount-max is %d", n, limit)
	}
	return nil
}
