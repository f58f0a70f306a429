// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"strings"

	"github.com/containerd-mini/mini/linux/sys"
)

// mountLegacy makes what fsconfig(2) has no way to say.
func (s *Set) mountLegacy(e *entry) error {
	t, err := s.openFor(e, -1)
	if err != nil {
		return err
	}
	defer sys.Close(t.fd)
	if err := mountByPath(e.fstype, e.source, t.fd, &e.options); err != nil || len(e.options.propagation) == 0 {
		return err
	}
	// mount(2) gives no descriptor of what it made: it is on top of the target.
	over, err := s.open(e.dest, false)
	if err != nil {
		return err
	}
	defer sys.Close(over.fd)
	return setPropagation(over.fd, &e.options)
}

// remount changes what is mounted at a destination: the mount alone with bind,
// else the superblock as well.
func (s *Set) remount(e *entry) error {
	t, err := s.openFor(e, -1)
	if err != nil {
		return err
	}
	defer sys.Close(t.fd)
	if e.options.bind {
		return setBind(t.fd, &e.options)
	}
	if err := sys.Mount(e.source, procPath(t.fd), "", e.options.legacyFlags(), strings.Join(e.options.data, ",")); err != nil {
		return err
	}
	return setPropagation(t.fd, &e.options)
}
