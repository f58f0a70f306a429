// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// below reports whether p is dir or a path in it. Both must be clean.
func below(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// procPath names an open inode for the calls that take no descriptor. The name is in
// the host's procfs: the calling thread's root is the host's until Enter.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// withoutLinks resolves the links of a host path. It asks no filesystem's server on
// the way (open(2), O_PATH), as lstat(2) would: what is mounted there may hang.
func withoutLinks(path string) (string, error) {
	fd, err := sys.OpenAt(unix.AT_FDCWD, path, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer sys.Close(fd)
	return os.Readlink(procPath(fd))
}

// mountPoints returns the mounts of the calling thread's mount namespace. Precondition:
// the thread's root is the host's.
func mountPoints() ([]sys.Mountpoint, error) {
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return sys.ReadMountinfo(f)
}
