// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// agent answers the calls of containers in their place.
type agent struct {
	h      *harness
	path   string
	states chan specs.ContainerProcessState
}

// mkdirs are the numbers of mkdir(2), which new architectures do not have, and
// mkdirat(2).
var mkdirs = map[string][]uint32{"amd64": {83, unix.SYS_MKDIRAT}, "arm64": {unix.SYS_MKDIRAT}}

// newAgent listens. It answers mkdir with an errno, or, for 0, as if it had been
// done, and lets other calls pass.
func newAgent(h *harness, errno int32) *agent {
	h.Helper()
	a := &agent{h: h, path: filepath.Join(h.TempDir(), "agent.sock"), states: make(chan specs.ContainerProcessState, 16)}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: a.path, Net: "unix"})
	h.must(err)
	h.Cleanup(func() { h.must(l.Close()) })
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go a.serve(c, errno)
		}
	}()
	return a
}

// serve takes one process's state and listener, and answers its calls until it
// has ended.
func (a *agent) serve(c *net.UnixConn, errno int32) {
	defer c.Close()
	buf, oob := make([]byte, 1<<16), make([]byte, 1024)
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		a.h.Error(err)
		return
	}
	rest, err := io.ReadAll(c) // the runtime closes the connection
	if err != nil {
		a.h.Error(err)
		return
	}
	var state specs.ContainerProcessState
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err := errors.Join(err, json.Unmarshal(append(buf[:n], rest...), &state)); err != nil || len(messages) != 1 {
		a.h.Errorf("state %q with %d messages: %v", buf[:n], len(messages), err)
		return
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		a.h.Errorf("descriptors %v: %v", fds, err)
		return
	}
	a.states <- state
	a.answer(fds[0], errno)
}

type notification struct {
	id         uint64
	pid, flags uint32
	data       [64]byte
}

type response struct {
	id           uint64
	val          int64
	error, flags int32
}

func (a *agent) answer(fd int, errno int32) {
	defer func() { _ = unix.Close(fd) }()
	for {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || poll[0].Revents&unix.POLLHUP != 0 {
			return
		}
		var n notification
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); e != 0 {
			continue // killed meanwhile
		}
		r := response{id: n.id, error: -errno}
		if nr := binary.NativeEndian.Uint32(n.data[:]); !slices.Contains(mkdirs[runtime.GOARCH], nr) {
			r.error, r.flags = 0, 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE: let it pass
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
	}
}

// notify sends the calls to an agent.
func notify(path, metadata string, flags []specs.LinuxSeccompFlag, names ...string) oci.SpecOpts {
	return seccompOf(specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: path, ListenerMetadata: metadata, Flags: flags, Syscalls: []specs.LinuxSyscall{on(specs.ActNotify, names...)},
	})
}

// TestSeccompNotify: an agent answers for the kernel, for init and for execs; it
// is told whose calls they are.
func TestSeccompNotify(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, nnp := range []bool{false, true} {
			a := newAgent(h, int32(unix.EDQUOT))
			task := h.create(forever(), privileges(nnp, 0), oci.WithAnnotations(map[string]string{"key": "value"}),
				notify(a.path, "meta", nil, "mkdir", "mkdirat", "accept4", "connect", "sendmsg", "recvmsg", "read", "close"))
			h.must(task.Start(h.ctx))
			task.expect("ready")
			a.check(<-a.states, task, int(task.Pid()), "meta")

			out, _, code := task.execs(sh("mkdir /x 2>&1"))
			h.equal("output", out, "mkdir: can't create directory '/x': Disk quota exceeded\n")
			h.equal("exit code", strconv.Itoa(int(code)), "1")
			state := <-a.states
			if state.Pid == int(task.Pid()) {
				t.Errorf("the exec's pid is init's: %d", state.Pid)
			}
			a.check(state, task, state.Pid, "meta")
			h.equal("status", string(state.State.Status), "running")
			task.kill()
		}
	})
}

// check checks a state that the agent got.
func (a *agent) check(s specs.ContainerProcessState, t *task, pid int, metadata string) {
	a.h.Helper()
	a.h.equal("descriptors", strings.Join(s.Fds, " "), specs.SeccompFdName)
	a.h.equal("metadata", s.Metadata, metadata)
	a.h.equal("pid", strconv.Itoa(s.Pid), strconv.Itoa(pid))
	a.h.equal("container's pid", strconv.Itoa(s.State.Pid), strconv.Itoa(int(t.Pid())))
	a.h.equal("id", s.State.ID, t.c.ID())
	a.h.equal("annotation", s.State.Annotations["key"], "value")
	if s.Version == "" || s.State.Version == "" {
		a.h.Errorf("no versions in %+v", s)
	}
	if _, err := os.Stat(filepath.Join(s.State.Bundle, "config.json")); err != nil {
		a.h.Errorf("bundle: %v", err)
	}
}

// TestSeccompNotifyKillable: the flag that keeps signals from a call that the agent
// has.
func TestSeccompNotifyKillable(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) { // this machine's libseccomp does not know it
		a := newAgent(h, 0)
		opt := notify(a.path, "", []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}, "mkdir", "mkdirat")
		h.equal("output", h.prints("mkdir /x && ls -d /x 2>&1 || true", opt), "ls: /x: No such file or directory")
	})
}

// TestSeccompNotifyWithoutAgent: nothing runs, and nothing is left.
func TestSeccompNotifyWithoutAgent(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		path := filepath.Join(t.TempDir(), "nobody.sock")
		task, err := h.tryCreate(h.container(sh("echo ran"), notify(path, "", nil, "mkdir")))
		if err == nil { // mini installs the filter as late as it can
			err = task.Start(h.ctx)
			task.wait()
			h.equal("output", task.out.String(), "")
			task.delete()
		}
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v; want an error about %s", err, path)
		}
	})
}
