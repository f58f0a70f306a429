// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/criu"
	"github.com/containerd-mini/mini/linux/sys"
)

// stream is one of the standard streams of a container's init, as criu has to be told of
// it. A pipe's inode is not used again as long as the container has it open.
type stream struct {
	kind         streamKind
	mount, inode uint64
}

type streamKind uint8

const (
	ownFile   streamKind = iota // a file of the container, as its /dev/null: criu does all by itself
	outerPipe                   // an anonymous pipe, whose other end the shim has; criu finds out by itself
	outerFile                   // the shim's null device, which the container's mount namespace does not know
)

// ownName is the name of an ownFile, as runc writes one.
const ownName = os.DevNull

// streamOf looks at a stream; f may be open with O_PATH.
func streamOf(f *os.File) (s stream, err error) {
	st, err := statStream(f)
	if err != nil {
		return s, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFIFO {
		return stream{kind: outerPipe, inode: st.Ino}, nil
	}
	outer, err := null()
	if err != nil {
		return s, err
	}
	of, err := statStream(outer)
	if err != nil || of.Mnt_id != st.Mnt_id {
		return s, err
	}
	return stream{kind: outerFile, mount: st.Mnt_id, inode: st.Ino}, nil
}

func statStream(f *os.File) (st unix.Statx_t, err error) {
	err = sys.Control(f, func(fd int) error {
		const want = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_MNT_ID
		return unix.Statx(fd, "", unix.AT_EMPTY_PATH, want, &st)
	})
	if err != nil {
		err = &os.PathError{Op: "statx", Path: f.Name(), Err: err}
	}
	return st, err
}

// name is criu's for the stream: at a dump in Options.Externals, and at the
// restore in Options.Inherit.
func (s stream) name() string {
	switch s.kind {
	case outerPipe:
		return fmt.Sprintf("pipe:[%d]", s.inode)
	case outerFile:
		return fmt.Sprintf("file[%x:%x]", s.mount, s.inode)
	}
	return ownName
}

// isStreamName tells names of streams from others, which runc writes for files in
// the container, and from anything else that an image may hold.
//
// It does without fmt's scanning, which is much to carry for this.
func isStreamName(s string) bool {
	if number, ok := cutBoth(s, "pipe:[", "]"); ok {
		n, err := strconv.ParseUint(number, 10, 64)
		return err == nil && s == stream{kind: outerPipe, inode: n}.name()
	}
	numbers, _ := cutBoth(s, "file[", "]")
	mount, inode, _ := strings.Cut(numbers, ":")
	m, merr := strconv.ParseUint(mount, 16, 64)
	n, nerr := strconv.ParseUint(inode, 16, 64)
	return merr == nil && nerr == nil && s == stream{kind: outerFile, mount: m, inode: n}.name()
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
// container to be, and tells what these are for the next checkpoint.
//
// What was a pipe may be any stream. What was the null device stays one: criu sets the
// position of a file that it restores, which fails on a pipe. Of several streams that
// were one, the first counts.
func inherit(names []string, files [3]*os.File) (list []criu.Inherit, streams [3]stream, err error) {
	first := map[string]int{}
	for i, name := range names[:min(len(names), len(files))] {
		if !isStreamName(name) {
			continue // the container's own
		}
		if n, ok := first[name]; ok {
			streams[i] = streams[n]
			continue
		}
		first[name] = i
		f := files[i]
		if f == nil || !strings.HasPrefix(name, "pipe:") {
			if f, err = null(); err != nil {
				return nil, streams, err
			}
		}
		if streams[i], err = streamOf(f); err != nil {
			return nil, streams, err
		}
		list = append(list, criu.Inherit{Key: name, File: f})
	}
	return list, streams, nil
}

// giveStreams gives pipes to the container's user, as identity.stream does for a process
// that is not restored. With a user namespace they stay with whom the shim gave them to.
func giveStreams(files [3]*os.File, spec *specs.Spec) error {
	if ownNamespace(spec, specs.UserNamespace) {
		return nil
	}
	for _, f := range files {
		if f == nil || !sys.IsPipe(f) {
			continue
		}
		if err := f.Chown(int(spec.Process.User.UID), -1); err != nil {
			return err
		}
	}
	return nil
}
