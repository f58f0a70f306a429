// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// run starts p without namespaces and returns what the child said on the socket,
// what it wrote to its stdout, and how it ended.
func run(t *testing.T, build func(p *Program, conn *sys.Conn)) (msgs [][]byte, out string, exit sys.Exit, p *Program) {
	t.Helper()
	parent, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p = &Program{}
	p.Mark("start")
	p.Call("dup stdout", unix.SYS_DUP3, FD(w.Fd(), "stdout"), Int(1), Int(0))
	build(p, child)
	c, err := Start(Config{Program: p, Conn: child})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Pidfd.Close()
	child.Close()
	w.Close()
	for {
		m, _, err := parent.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, m)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	exit, err = sys.PidfdWait(c.Pidfd)
	if err != nil {
		t.Fatal(err)
	}
	return msgs, string(b), exit, p
}

func TestExecveEndsTheProgram(t *testing.T) {
	msgs, out, exit, _ := run(t, func(p *Program, _ *sys.Conn) {
		p.Call("execve", unix.SYS_EXECVE, Str("/bin/sh"), Strs([]string{"sh", "-c", "echo $WHO; exit 7"}, -1, nil), Strs([]string{"WHO=child"}, -1, nil))
	})
	if len(msgs) != 0 || out != "child\n" || exit.Signaled || exit.Status != 7 {
		t.Fatalf("messages %q, output %q, exit %+v", msgs, out, exit)
	}
}

func TestFailureNamesTheStep(t *testing.T) {
	msgs, _, exit, p := run(t, func(p *Program, _ *sys.Conn) {
		p.Call("enter /nonexistent", unix.SYS_CHDIR, Str("/nonexistent"))
		p.Call("execve", unix.SYS_EXECVE, Str("/bin/true"), Strs(nil, -1, nil), Strs(nil, -1, nil))
	})
	if len(msgs) != 1 {
		t.Fatalf("messages %q", msgs)
	}
	err := p.Failure(msgs[0])
	if !errors.Is(err, unix.ENOENT) || err.Error() != "enter /nonexistent: no such file or directory" {
		t.Fatalf("got %v", err)
	}
	if exit.Status != 127 {
		t.Fatalf("exit %+v", exit)
	}
}

func TestJumpsRegistersAndPatches(t *testing.T) {
	_, out, exit, _ := run(t, func(p *Program, _ *sys.Conn) {
		dir := p.NewReg()
		p.Add(Step{For: "open /bin", NR: unix.SYS_OPENAT, Args: []Arg{Int(unix.AT_FDCWD), Str("/bin"), Hex(unix.O_PATH | unix.O_DIRECTORY)}, Out: dir})
		p.Add(Step{For: "look", NR: unix.SYS_FACCESSAT2, Args: []Arg{Ref(dir), Str("no-such"), Int(unix.X_OK), Int(0)}, Fail: "missing"})
		p.Fail("unreachable", unix.EUCLEAN)
		p.Mark("missing")
		p.Skip("error")
		p.Add(Step{Name: "error", NR: OpFail, Args: []Arg{Int(int(unix.EUCLEAN))}})
		p.Patch("exec", 0, Str("/bin/echo"))
		p.Add(Step{Name: "exec", For: "execve", NR: unix.SYS_EXECVE, Args: []Arg{Str("/wrong"), Strs([]string{"echo", "patched"}, -1, nil), Strs(nil, -1, nil)}})
	})
	if out != "patched\n" || exit.Status != 0 {
		t.Fatalf("output %q, exit %+v", out, exit)
	}
}

func TestParentGoneIsAnError(t *testing.T) {
	parent, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	p := &Program{}
	p.Mark("start")
	buf := new([16]byte)
	p.Add(Step{For: "wait for the parent", NR: unix.SYS_RECVFROM, Args: []Arg{FD(child.Fd(), "socket"), Mem(buf, "buf"), Int(len(buf))}, Want: 1, Check: true})
	p.Call("exit", unix.SYS_EXIT_GROUP, Int(0))
	c, err := Start(Config{Program: p, Conn: child})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Pidfd.Close()
	child.Close()
	// The child holds a copy of parent's descriptor, too: shutting it down is
	// what closing every copy would be.
	if err := unix.Shutdown(int(parent.Fd()), unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	exit, err := sys.PidfdWait(c.Pidfd)
	parent.Close()
	if err != nil || exit.Status != 127 {
		t.Fatalf("exit %+v, %v", exit, err)
	}
}

func TestDumpIsTheOrderAsText(t *testing.T) {
	p := &Program{}
	r := p.NewReg()
	p.Mark("start")
	p.Add(Step{For: "make proc", NR: unix.SYS_FSOPEN, Args: []Arg{Str("proc"), Hex(1)}, Out: r})
	p.Add(Step{For: "close it", NR: unix.SYS_CLOSE, Args: []Arg{Ref(r)}, Fail: "start"})
	want := "start:\n\tr1 = fsopen(\"proc\", 0x1)\t# make proc\n\tclose(r1) error->start\t# close it\n"
	if got := p.Dump(); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(p.What(1), "make proc") {
		t.Fatal(p.What(1))
	}
}

func BenchmarkForkExec(b *testing.B) {
	for b.Loop() {
		parent, child, err := Pair()
		if err != nil {
			b.Fatal(err)
		}
		p := &Program{}
		p.Mark("start")
		p.Call("close all", unix.SYS_CLOSE_RANGE, Int(3), Int(int(^uint32(0))), Int(unix.CLOSE_RANGE_CLOEXEC))
		p.Call("execve", unix.SYS_EXECVE, Str("/bin/busybox"), Strs([]string{"true"}, -1, nil), Strs(nil, -1, nil))
		c, err := Start(Config{Program: p, Conn: child})
		if err != nil {
			b.Fatal(err)
		}
		child.Close()
		if m, _, err := parent.Recv(); !errors.Is(err, io.EOF) {
			b.Fatal(p.Failure(m), err)
		}
		if _, err := sys.PidfdWait(c.Pidfd); err != nil {
			b.Fatal(err)
		}
		parent.Close()
		c.Pidfd.Close()
	}
}
