// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// nullDevice describes the null device.
var nullDevice = device{path: os.DevNull, mode: unix.S_IFCHR, dev: 1<<8 | 3}

// OpenNull opens the host's null device on a read-only mount that is attached nowhere,
// so that it can be given to a container: reading and writing work, but nobody can change
// the inode through the descriptor (chmod, chown, utimes, setxattr: EROFS). Precondition:
// the thread's root is the host's.
func OpenNull() (*os.File, error) {
	host, err := openNull()
	if err != nil {
		return nil, err
	}
	defer sys.Close(host)
	tree, err := cloneReadonly(host)
	if err != nil {
		return nil, &os.PathError{Op: "clone", Path: os.DevNull, Err: err}
	}
	defer sys.Close(tree)
	// Without O_NOFOLLOW, which would stay with the file: criu opens it again by a link
	// in procfs, with the same flags.
	return os.OpenFile(procPath(tree), os.O_RDWR, 0)
}

// openNull opens the host's null device as O_PATH, and refuses anything else there.
// Precondition: the thread's root is the host's.
func openNull() (int, error) { return openDevice(unix.AT_FDCWD, os.DevNull, &nullDevice) }

// cloneReadonly clones the mount of a device node as a read-only one, to which nothing
// propagates. A device on a read-only mount can still be opened for writing
// (do_dentry_open, fs/open.c).
func cloneReadonly(fd int) (int, error) {
	tree, err := sys.CloneTree(fd, "", false)
	if err != nil {
		return -1, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE}
	if err := sys.SetMountAttr(tree, false, &attr); err != nil {
		sys.Close(tree)
		return -1, err
	}
	return tree, nil
}
