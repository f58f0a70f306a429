// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// lateMounts are mounts that are made read-only when all is in place.
type lateMounts struct {
	list  []lateMount
	fds   []int // what close closes
	files []*os.File
}

type lateMount struct {
	fd   int
	dest string
}

// add adds a mount, whose descriptor stays the caller's.
func (l *lateMounts) add(tree int, dest string) { l.list = append(l.list, lateMount{tree, dest}) }

// makeReadonly makes the mounts read-only. Their other flags stay.
func (l *lateMounts) makeReadonly() error {
	for _, m := range l.list {
		if err := makeReadonly(m.fd); err != nil {
			return fmt.Errorf("make the mount on %s read-only: %w", m.dest, err)
		}
	}
	l.list = nil
	return nil
}

// close closes the descriptors that were kept for the mounts.
func (l *lateMounts) close() {
	sys.Close(l.fds...)
	for _, f := range l.files {
		_ = f.Close() // a mount
	}
	*l = lateMounts{}
}

// makeReadonly makes one mount read-only, not those below it.
func makeReadonly(mount int) error {
	return sys.SetMountAttr(mount, false, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}
