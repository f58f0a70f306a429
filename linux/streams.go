// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/criu"
	"github.com/containerd-mini/mini/linux/sys"
)

// stream tells criu one of the standard streams that the shim has given a
// container's init. As the container's mount namespace knows nothing of the
// fifo, file or device, criu has to be told that it is from outside. A fifo's inode
// is not used again as long as the container has it open.
type stream struct {
	mount, inode uint64
	pipe         bool // an anonymous one, which criu finds out by itself
}

// streamsOf looks at the three streams; nil ones are the shim's null device.
func streamsOf(files [3]*os.File) (out [3]stream, err error) {
	for i, f := range files {
		if f == nil {
			if f, err = null(); err != nil {
				return out, err
			}
		}
		if out[i], err = streamOf(f); err != nil {
			return out, err
		}
	}
	return out, nil
}

func streamOf(f *os.File) (s stream, err error) {
	err = sys.Control(f, func(fd int) error {
		var st unix.Statx_t
		const want = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_MNT_ID
		if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, want, &st); err != nil {
			return &os.PathError{Op: "statx", Path: f.Name(), Err: err}
		}
		s.mount, s.inode = st.Mnt_id, st.Ino
		if st.Mode&unix.S_IFMT != unix.S_IFIFO {
			return nil
		}
		magic, err := sys.Magic(fd)
		s.pipe = magic == unix.PIPEFS_MAGIC
		return err
	})
	return s, err
}

// name is criu's for the stream: at a dump in Options.Externals, and at the
// restore in Options.Inherit.
func (s stream) name() string {
	if s.pipe {
		return fmt.Sprintf("pipe:[%d]", s.inode)
	}
	return fmt.Sprintf("file[%x:%x]", s.mount, s.inode)
}

// isStreamName tells names of streams from others, which runc writes for files in
// the container, and from anything else that an image may hold.
//
// It does without fmt's scanning, which is much to carry for this.
func isStreamName(s string) bool {
	if number, ok := cutBoth(s, "pipe:[", "]"); ok {
		n, err := strconv.ParseUint(number, 10, 64)
		return err == nil && s == stream{inode: n, pipe: true}.name()
	}
	numbers, _ := cutBoth(s, "file[", "]")
	mount, inode, _ := strings.Cut(numbers, ":")
	m, merr := strconv.ParseUint(mount, 16, 64)
	n, nerr := strconv.ParseUint(inode, 16, 64)
	return merr == nil && nerr == nil && s == stream{mount: m, inode: n}.name()
}

// cutBoth takes off what a string begins and ends with.
func cutBoth(s, prefix, suffix string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, suffix)
}

// inherit pairs the names of a checkpoint's streams with the streams of the
// container to be. Of several streams that were one, the first counts.
func inherit(names []string, files [3]*os.File) (list []criu.Inherit, err error) {
	for i, name := range names {
		f := files[i]
		if f == nil {
			if f, err = null(); err != nil {
				return nil, err
			}
		}
		if isStreamName(name) {
			list = append(list, criu.Inherit{Key: name, File: f})
		}
	}
	return list, nil
}
