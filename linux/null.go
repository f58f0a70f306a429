// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/sys"
)

// null is the null device for processes without streams in a container that has none
// of its own. It is the host's on a read-only mount, open for the life of the shim.
var null = sync.OnceValues(mount.OpenNull)

// statx is struct statx (statx(2)), as far as it says what a file is. Both
// architectures are little-endian.
type statx struct {
	_            [28]byte
	mode         [2]byte
	_            [10]byte
	size         [8]byte
	_            [80]byte
	major, minor [4]byte
	_            [120]byte
}

// openNull opens the null device for the streams that are nil, unless there are none:
// the container's own, whose mode and owner are the container's to change, as runc
// does. Where /dev/null is anything else in the container (CVE-2025-31133), it is
// id.null, through which nobody can change the host's inode.
//
// No link is followed, and nothing that is there can hold the open up, but a FUSE
// file system, as any other file of the container on the way to its execve can.
func (id *identity) openNull(p *fork.Program) *fork.Reg {
	if id.terminal != nil || !slices.Contains(id.stdio[:], nil) {
		return nil
	}
	const what, other, done = "open /dev/null", "no null device", "null device"
	out, st := p.NewReg(), fork.New(p, statx{})
	how := fork.New(p, unix.OpenHow{
		Flags:   unix.O_RDWR | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	p.Add(fork.Step{For: what, NR: unix.SYS_OPENAT2, Out: out, Fail: other, Args: []fork.Arg{
		fork.Int(unix.AT_FDCWD), fork.Str(os.DevNull), fork.Mem(how, "O_RDWR|O_NONBLOCK no symlinks"), fork.Int(unix.SizeofOpenHow),
	}})
	p.Add(fork.Step{For: what, NR: unix.SYS_STATX, Fail: other, Args: []fork.Arg{
		fork.Ref(out), fork.Str(""), fork.Hex(unix.AT_EMPTY_PATH), fork.Hex(unix.STATX_TYPE), fork.Mem(st, "st"),
	}})
	st.unlessDevice(p, 1, 3, other)
	p.Add(fork.Step{For: what, NR: unix.SYS_FCNTL, OK: done, Fail: other, Args: []fork.Arg{fork.Ref(out), fork.Int(unix.F_SETFL), fork.Int(0)}})
	p.Mark(other)
	p.Add(fork.Step{For: what, NR: unix.SYS_FCNTL, Out: out, Args: []fork.Arg{fork.FD(id.null.Fd(), "null"), fork.Int(unix.F_DUPFD_CLOEXEC), fork.Int(3)}})
	p.Mark(done)
	return out
}

// unlessDevice appends steps that go on at the label other unless st is of the character
// device with these numbers.
func (st *statx) unlessDevice(p *fork.Program, major, minor byte, other string) {
	p.Unless("is it a character device", &st.mode[1], unix.S_IFCHR>>8, unix.S_IFMT>>8, other)
	for i, n := range [4]byte{major} { // of 12 bits
		p.Unless("is its major number "+strconv.Itoa(int(major)), &st.major[i], n, 0xff, other)
	}
	for i, n := range [4]byte{minor} { // of 20 bits
		p.Unless("is its minor number "+strconv.Itoa(int(minor)), &st.minor[i], n, 0xff, other)
	}
}

// streams looks at the streams that init has at its gate. Those that nobody asked for
// are what openNull has opened.
func (m *maker) streams() (out [3]stream, err error) {
	if m.Spec.Process.Terminal {
		return out, nil
	}
	for i, f := range m.Stdio {
		if f == nil {
			if f, err = sys.OpenProcLink(strconv.Itoa(m.child.Pid)+"/fd", strconv.Itoa(i), unix.O_PATH); err != nil {
				return out, err
			}
			defer f.Close()
		}
		if out[i], err = streamOf(f); err != nil {
			return out, err
		}
	}
	return out, nil
}
