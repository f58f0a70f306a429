// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// inherit gives a tmpfs what it covers: the mode of the directory, unless the
// options name one, and with tmpcopyup its files.
func (s *Set) inherit(e *entry, tree int, t *target) error {
	if t.created || e.named("mode") && !e.options.copyUp {
		return nil
	}
	fd, err := sys.OpenAt(tree, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), e.dest)
	defer dir.Close()
	if !e.named("mode") {
		if err := sys.Chmod(fd, t.st.Mode&0o7777); err != nil {
			return err
		}
	}
	if e.options.copyUp {
		return copyUp(t.fd, dir, s.c.CopyUp)
	}
	return nil
}

// CopiesUp reports whether Mount calls Config.CopyUp.
func (s *Set) CopiesUp() bool {
	return slices.ContainsFunc(s.plan.entries, func(e *entry) bool { return e.options.copyUp })
}

// named reports whether the filesystem's options hold a parameter.
func (e *entry) named(key string) bool {
	for _, p := range e.super.Params {
		if p.Key == key {
			return true
		}
	}
	return false
}
