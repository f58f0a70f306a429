// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"

	"golang.org/x/sys/unix"
)

// OpenInRoot opens a path as a process whose root directory is root would: `..`
// and absolute links stay inside (openat2(2), Linux 5.6). Magic links are never
// followed. flags are open(2)'s; resolve adds RESOLVE_* flags.
//
// A concurrent rename can make the kernel return EAGAIN at `..`. OpenInRoot then tries
// again, up to a limit: somebody may rename all the time.
func OpenInRoot(root int, path string, flags int, resolve uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | resolve,
	}
	const tries = 128
	for try := 1; ; try++ {
		fd, err := unix.Openat2(root, path, &how)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) && try < tries:
			continue
		}
		return -1, fail("openat2", path, err)
	}
}
