// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// withScratch calls do with a directory for files and mounts that are needed for a
// moment only. The directory is a tmpfs on target: a clean-up after the shim's
// death looks there. label is the mount label, or "".
func withScratch(target int, label string, do func(dir int) error) error {
	scratch := Superblock{Type: "tmpfs", Params: []Param{
		{Key: "source", Value: "tmpfs"},
		{Key: "mode", Value: "0700"},
	}}
	if label != "" {
		scratch.Params = append(scratch.Params, Param{Key: "context", Value: label})
	}
	dir, err := scratch.make()
	if err != nil {
		return err
	}
	defer sys.Close(dir)
	if err := sys.MoveMount(dir, target); err != nil {
		return err
	}
	err = do(dir)
	return errors.Join(err, sys.Unmount(procPath(dir), unix.MNT_DETACH))
}
