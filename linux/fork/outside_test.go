// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// inKilled runs body in a process whose children die when they are cloned into the
// cgroup dir, where the kernel counts the uses of cgroup.kill.
func inKilled(t *testing.T, body func(t *testing.T, dir *os.File)) {
	testenv.Root(t)
	testenv.Subprocess(t, 0, func(t *testing.T) {
		testenv.InKilledCgroup(t)
		dir, err := os.Open(testenv.Cgroup(t))
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		body(t, dir)
	})
}

// enter moves a process as cgroup.Enter does.
func enter(dir *os.File, pid int) error {
	return os.WriteFile(filepath.Join(dir.Name(), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// whereabouts is a program whose first step opens a file that tells of the child's
// cgroup. The text comes out of the pipe.
func whereabouts(t *testing.T) (p *Program, out *os.File) {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p = NewProgram()
	t.Cleanup(func() { p.Close(); in.Close(); out.Close() })
	fd, n := p.NewReg(), p.NewReg()
	text := NewSlice[byte](p, 4096)
	p.Add(Step{
		For:  "open",
		NR:   unix.SYS_OPENAT,
		Args: []Arg{Int(unix.AT_FDCWD), Str("/proc/self/cgroup"), Int(unix.O_RDONLY)},
		Out:  fd,
	})
	p.Add(Step{For: "read", NR: unix.SYS_READ, Args: []Arg{Ref(fd), MemSlice(text, "text"), Int(len(text))}, Out: n})
	p.Call("write", unix.SYS_WRITE, FD(uintptr(sys.FD(in)), "pipe"), MemSlice(text, "text"), Ref(n))
	p.Call("exit", unix.SYS_EXIT_GROUP, Int(7))
	return p, out
}

// pair is Pair, closed at the end of the test.
func pair(t *testing.T) (parent, child *sys.Conn) {
	t.Helper()
	parent, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parent.Close(); child.Close() })
	return parent, child
}

// TestStillborn: what the kernel kills at its birth is told from what it does not,
// and is born in another way, with the same program, whose first step is in the
// cgroup.
func TestStillborn(t *testing.T) {
	inKilled(t, func(t *testing.T, dir *os.File) {
		p, out := whereabouts(t)
		_, end := pair(t)
		c := Config{Program: p, Conn: end, Cgroup: dir}
		child, err := Start(c)
		if err != nil {
			t.Fatal(err)
		}
		dead, err := child.Stillborn()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("killed at its birth: %v", dead)
		switch {
		case dead:
			if err := unix.Kill(child.Pid, 0); !errors.Is(err, unix.ESRCH) {
				t.Errorf("the dead child: %v", err)
			}
		case testenv.CountsKills(t):
			t.Fatal("the kernel was expected to kill the child")
		default: // it lives, and says where
			expectMember(t, child, out, dir)
		}
		if child, err = StartOutside(c, enter); err != nil {
			t.Fatal(err)
		}
		if dead, err := child.Stillborn(); dead || err != nil {
			t.Fatalf("stillborn %v, %v", dead, err)
		}
		expectMember(t, child, out, dir)
	})
}

// expectMember reaps a child with the program whereabouts, and looks where it was.
func expectMember(t *testing.T, child *Child, out, dir *os.File) {
	t.Helper()
	exit, err := sys.PidfdWait(child.Pidfd)
	child.Pidfd.Close()
	if err != nil || exit != (sys.Exit{Status: 7}) {
		t.Fatalf("exit %+v, %v", exit, err)
	}
	if text := said(t, out); !strings.HasSuffix(text, "/"+filepath.Base(dir.Name())+"\n") {
		t.Errorf("the child was in %s, not in %s", text, dir.Name())
	}
}

// said is what is in the pipe.
func said(t *testing.T, out *os.File) string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Read(sys.FD(out), buf) // which does not block
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	return string(buf[:max(n, 0)])
}

// TestOutsideRefused: a child that cannot be moved has never run, and is gone.
func TestOutsideRefused(t *testing.T) {
	p, out := whereabouts(t)
	_, end := pair(t)
	pid := 0
	child, err := StartOutside(Config{Program: p, Conn: end, Cgroup: os.Stdin}, func(_ *os.File, of int) error {
		pid = of
		return unix.EBUSY
	})
	if child != nil || !errors.Is(err, unix.EBUSY) {
		t.Fatalf("child %v, %v", child, err)
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("child %d is there: %v", pid, err)
	}
	if text := said(t, out); text != "" {
		t.Errorf("the child ran: %s", text)
	}
}

// TestOutsideDies: a child that is killed while it waits is found dead by the
// caller, as any other.
func TestOutsideDies(t *testing.T) {
	p, out := whereabouts(t)
	_, end := pair(t)
	child, err := StartOutside(Config{Program: p, Conn: end, Cgroup: os.Stdin}, func(_ *os.File, pid int) error {
		return unix.Kill(pid, unix.SIGKILL)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	if exit, err := sys.PidfdWait(child.Pidfd); err != nil ||
		exit != (sys.Exit{Signaled: true, Status: int(unix.SIGKILL)}) {
		t.Errorf("exit %+v, %v", exit, err)
	}
	if text := said(t, out); text != "" {
		t.Errorf("the child ran: %s", text)
	}
}

// TestOutsideWithoutParent: a child whose parent dies before it has been moved
// ends, and runs nothing.
func TestOutsideWithoutParent(t *testing.T) {
	p, out := whereabouts(t)
	parent, end := pair(t)
	conn, waits := pair(t)
	c := Config{Program: p, Conn: end}
	child, err := c.startWaiting(conn, waits)
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	end.Close()
	waits.Close()
	conn.Close() // as the parent's death does
	exit, err := sys.PidfdWait(child.Pidfd)
	if err != nil || exit != (sys.Exit{Status: 127}) {
		t.Errorf("exit %+v, %v", exit, err)
	}
	msg, _, err := parent.Recv()
	if failed := c.Program.Failure(msg); err != nil || !errors.Is(failed, unix.EPIPE) {
		t.Errorf("message %q, %v", msg, err)
	}
	if text := said(t, out); text != "" {
		t.Errorf("the child ran: %s", text)
	}
}

// TestKilledIsNotStillborn: a child that was killed after its birth, at whatever
// moment, counts as stillborn only if it has done nothing.
func TestKilledIsNotStillborn(t *testing.T) {
	var out [2]int
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(out[0])
	defer unix.Close(out[1])
	_, end := pair(t)
	count := map[string]int{}
	for range 100 {
		p := NewProgram()
		p.Call("write", unix.SYS_WRITE, FD(uintptr(out[1]), "pipe"), Str("x"), Int(1))
		p.Call("exit", unix.SYS_EXIT_GROUP, Int(0))
		child, err := Start(Config{Program: p, Conn: end})
		if err != nil {
			t.Fatal(err)
		}
		if err := sys.PidfdSend(child.Pidfd, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		dead, err := child.Stillborn()
		if err != nil {
			t.Fatal(err)
		}
		if !dead {
			if _, err := sys.PidfdWait(child.Pidfd); err != nil { // it was left for us
				t.Fatal(err)
			}
			child.Pidfd.Close()
		}
		p.Close()
		n, _ := unix.Read(out[0], make([]byte, 1))
		switch {
		case n == 1 && dead:
			t.Fatal("a child that did something was taken for stillborn")
		case dead:
			count["stillborn"]++
		case n == 1:
			count["ran"]++
		default:
			count["killed while it began"]++
		}
	}
	t.Log(count)
}

// TestAliveIsNotStillborn: a child that lives, or has ended by itself, is left alone.
func TestAliveIsNotStillborn(t *testing.T) {
	parent, end := pair(t)
	p := NewProgram()
	defer p.Close()
	p.Call("wait", unix.SYS_READ, FD(end.Fd(), "socket"), Mem(New(p, byte(0)), "byte"), Int(1))
	p.Call("exit", unix.SYS_EXIT_GROUP, Int(7))
	child, err := Start(Config{Program: p, Conn: end})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	if dead, err := child.Stillborn(); dead || err != nil {
		t.Errorf("alive: %v, %v", dead, err)
	}
	if err := parent.Send([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if _, err := sys.PidfdEnded(child.Pidfd); err != nil {
		t.Fatal(err)
	}
	if dead, err := child.Stillborn(); dead || err != nil {
		t.Errorf("ended: %v, %v", dead, err)
	}
	if exit, err := sys.PidfdWait(child.Pidfd); err != nil || exit != (sys.Exit{Status: 7}) {
		t.Errorf("exit %+v, %v", exit, err)
	}
}
