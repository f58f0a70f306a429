// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// bindDevice binds the host's node of the same number. It changes neither its
// mode nor its owner, which are the host's.
func bindDevice(dir int, name string, d *device) error {
	host, err := hostDevice(d)
	if err != nil {
		return err
	}
	defer sys.Close(host)
	tree, err := sys.CloneTree(host, "", false)
	if err != nil {
		return err
	}
	defer sys.Close(tree)
	if err := sys.MknodAt(dir, name, unix.S_IFREG, 0); err != nil && !exists(err) {
		return err
	}
	target, err := sys.OpenAt(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer sys.Close(target)
	return sys.MoveMount(tree, target)
}

// hostDevice opens the host's node for a device: at the same path, or where
// sysfs says that devtmpfs has it. Precondition: the thread's root is the host's.
func hostDevice(d *device) (int, error) {
	fd, err := openDevice(unix.AT_FDCWD, d.path, d)
	if err == nil {
		return fd, nil
	}
	class := "char"
	if d.mode&unix.S_IFMT == unix.S_IFBLK {
		class = "block"
	}
	uevent, rerr := os.ReadFile(fmt.Sprintf("/sys/dev/%s/%d:%d/uevent", class, unix.Major(d.dev), unix.Minor(d.dev)))
	if rerr != nil {
		return -1, err
	}
	for _, line := range strings.Split(string(uevent), "\n") {
		if name, ok := strings.CutPrefix(line, "DEVNAME="); ok {
			return openDevice(unix.AT_FDCWD, "/dev/"+name, d)
		}
	}
	return -1, err
}
