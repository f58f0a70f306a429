// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// Where a process's environment has no HOME, it is the home directory of its user in the
// container's /etc/passwd, as with runc.
//
// The file may be on a file system whose server does not answer, which the container
// can bring about at any time: then whoever opens it or asks for its size waits, and not
// even SIGKILL ends that once the server has the request (fuse_request_send in the
// kernel). So it is not the shim that reads it, but the process that is made, as root of
// the container, in the container's cgroup, where it counts. It sends what it has read and
// goes on. The shim finds the line, and HOME comes with the next message that the process
// waits for anyway. So the look-up costs no round trip.

// msgPasswd is the tag of /etc/passwd, of which an empty one stands for none.
const msgPasswd = 'H'

// homeLen is the length of the longest answer: a message's tag and HOME=path with a NUL.
const homeLen = 1 + len("HOME=") + unix.PathMax

// sendPasswd appends the steps that read the container's /etc/passwd and send it.
//
// A file that holds nothing is not opened: to open a device can do something (a watchdog
// starts), and so can to read what a kernel's filesystem makes up (/proc/kmsg), whose
// files have no size. The process has rights to both that the container has not.
//
// proc is the host's procfs.
//
// Precondition: descriptor 0 is not in use yet.
func sendPasswd(p *fork.Program, conn *sys.Conn, proc *os.File) {
	const (
		what = "read /etc/passwd"
		none = "no passwd"
		some = "passwd has text"
		done = "passwd sent"
	)
	file, st := p.NewReg(), fork.New(p, statx{})
	how := fork.New(p, unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS})
	p.Add(fork.Step{For: what, NR: unix.SYS_OPENAT2, Out: file, Fail: none, Args: []fork.Arg{
		fork.Int(unix.AT_FDCWD), fork.Str("/etc/passwd"),
		fork.Mem(how, "O_PATH no magic links"), fork.Int(unix.SizeofOpenHow),
	}})
	p.Add(fork.Step{For: what, NR: unix.SYS_STATX, Fail: none, Args: []fork.Arg{
		fork.Ref(file), fork.Str(""), fork.Hex(unix.AT_EMPTY_PATH),
		fork.Hex(unix.STATX_TYPE | unix.STATX_SIZE), fork.Mem(st, "st"),
	}})
	p.Unless("is it a regular file", &st.mode[1], unix.S_IFREG>>8, unix.S_IFMT>>8, none)
	for i := range st.size {
		p.Unless("is it empty", &st.size[i], 0, 0xff, some)
	}
	p.Add(fork.Step{For: "go on", NR: fork.OpNop, OK: none})
	p.Mark(some)
	// Number 0 makes its name in /proc known.
	p.Add(fork.Step{For: what, NR: unix.SYS_DUP3, Fail: none, Args: []fork.Arg{
		fork.Ref(file), fork.Int(0), fork.Open(unix.O_CLOEXEC),
	}})
	text := p.NewReg()
	p.Add(fork.Step{For: what, NR: unix.SYS_OPENAT, Out: text, Fail: none, Args: []fork.Arg{
		fork.FD(proc.Fd(), "proc"), fork.Str("self/fd/0"), fork.Open(unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC),
	}})
	p.SendFile(text, conn, msgPasswd, what, none)
	p.Add(fork.Step{For: "go on", NR: fork.OpNop, OK: done})
	p.Mark(none)
	p.SendNothing(conn, msgPasswd, what)
	p.Mark(done)
}

// receiveHome waits for what sendPasswd sends, and returns HOME as takeHome takes it.
func receiveHome(conn *sys.Conn, prog *fork.Program, uid uint32) ([]byte, error) {
	passwd, err := prog.ReceiveFile(conn, msgPasswd)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the process was killed: %w", unix.EPIPE)
	}
	if err != nil {
		return nil, fmt.Errorf("look HOME up: %w", err)
	}
	home := findHome(passwd, uid)
	if len(home) >= unix.PathMax {
		home = "/"
	}
	return append([]byte("HOME="+home), 0), nil
}

// takeHome receives a message with tag, behind which HOME is for the environment. A nil
// home is wait.
func takeHome(p *fork.Program, conn *sys.Conn, tag byte, home *[homeLen]byte, what string) {
	if home == nil {
		wait(p, conn, tag, what)
		return
	}
	p.Call(what, unix.SYS_RECVFROM, fork.FD(conn.Fd(), "socket"), fork.Mem(home, "buf"), fork.Int(homeLen))
	p.Expect(what, &home[0], tag, unix.EPIPE)
}

// findHome returns the home directory of uid in the text of a passwd(5), or "/".
func findHome(passwd []byte, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range bytes.Lines(passwd) {
		// name:password:uid:gid:comment:home:shell
		f := strings.Split(string(bytes.TrimSuffix(line, []byte("\n"))), ":")
		if len(f) >= 6 && f[2] == want && f[5] != "" {
			return f[5]
		}
	}
	return "/"
}
