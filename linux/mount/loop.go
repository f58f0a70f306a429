// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// attachLoop puts an image file behind a loop device that goes away with its
// last user (LO_FLAGS_AUTOCLEAR). The caller closes the device once it is
// mounted. LOOP_CONFIGURE is Linux 5.8.
func attachLoop(image string, readonly, direct bool) (*os.File, error) {
	mode := os.O_RDWR
	if readonly {
		mode = os.O_RDONLY
	}
	back, err := os.OpenFile(image, mode, 0)
	if err != nil {
		return nil, err
	}
	defer back.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()

	config := unix.LoopConfig{Fd: uint32(back.Fd())}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], image)
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	if readonly {
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	if direct {
		config.Info.Flags |= unix.LO_FLAGS_DIRECT_IO
	}
	// Others look for a free device, too. Who is too late gets EBUSY.
	const tries = 64
	for try := 1; ; try++ {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, &os.PathError{Op: "ioctl LOOP_CTL_GET_FREE", Path: control.Name(), Err: err}
		}
		dev, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), mode, 0)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
		if err == nil {
			return dev, nil
		}
		dev.Close()
		if !errors.Is(err, unix.EBUSY) || try == tries {
			return nil, &os.PathError{Op: "ioctl LOOP_CONFIGURE", Path: dev.Name(), Err: err}
		}
	}
}
