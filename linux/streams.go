// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"

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
func isStreamName(s string) bool {
	var kind string
	var a, b uint64
	if n, _ := fmt.Sscanf(s, "pipe:[%d]", &a); n == 1 {
		kind = stream{inode: a, pipe: true}.name()
	} else if n, _ := fmt.Sscanf(s, "file[%x:%x]", &a, &b); n == 2 {
		kind = stream{mount: a, inode: b}.name()
	}
	return s != "" && s == kind
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
