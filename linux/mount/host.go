// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// UnmountHost unmounts everything on the rootfs directory of a bundle and below it
// in the shim's own mount namespace, for the clean-up after a shim's death. It is no
// error if nothing is mounted there.
func UnmountHost(bundle string) error {
	dir, err := withoutLinks(filepath.Join(bundle, "rootfs"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	points, err := mountPoints()
	if err != nil {
		return err
	}
	// Detaching the bottom of a stack takes all that is on it. So one call is enough
	// for each mount point that is still there. Several may be on one path.
	var errs []error
	for _, m := range slices.Backward(points) {
		if !below(m.Path, dir) {
			continue
		}
		err := sys.Unmount(m.Path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !missing(err) && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.Path, err))
		}
	}
	return errors.Join(errs...)
}
