// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
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
	p = NewProgram()
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
		p.Call(
			"execve",
			unix.SYS_EXECVE,
			Str("/bin/sh"),
			Strs([]string{"sh", "-c", "echo $WHO; exit 7"}, -1, nil),
			Strs([]string{"WHO=child"}, -1, nil),
		)
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

// TestFailureThroughAFilter: a child whose filter forbids what it reports with, or
// ends with, still ends, and reports while it can.
func TestFailureThroughAFilter(t *testing.T) {
	for _, c := range []struct {
		forbidden []uint32
		reports   int
		exit      sys.Exit
	}{
		{[]uint32{unix.SYS_SENDTO}, 1, sys.Exit{Status: 127}},
		{[]uint32{unix.SYS_SENDTO, unix.SYS_WRITE}, 0, sys.Exit{Status: 127}},
		{[]uint32{unix.SYS_EXIT_GROUP}, 1, sys.Exit{Status: 127}},
		{[]uint32{unix.SYS_EXIT_GROUP, unix.SYS_EXIT}, 1, sys.Exit{Signaled: true, Status: int(unix.SIGSEGV)}},
	} {
		msgs, _, exit, p := run(t, func(p *Program, _ *sys.Conn) {
			code := NewSlice[unix.SockFilter](p, 2+2*len(c.forbidden))
			code[0] = unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}
			for i, nr := range c.forbidden {
				code[1+2*i] = unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ, K: nr, Jf: 1}
				code[2+2*i] = unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
			}
			code[len(code)-1] = unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW}
			p.Call("set no_new_privs", unix.SYS_PRCTL, Int(unix.PR_SET_NO_NEW_PRIVS), Int(1))
			p.Call(
				"filter",
				unix.SYS_SECCOMP,
				Int(unix.SECCOMP_SET_MODE_FILTER),
				Int(0),
				Mem(New(p, unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}), "program"),
			)
			p.Call("enter /nonexistent", unix.SYS_CHDIR, Str("/nonexistent"))
		})
		if len(msgs) != c.reports || exit != c.exit {
			t.Errorf("%v: messages %q, exit %+v", c.forbidden, msgs, exit)
		}
		for _, m := range msgs {
			if err := p.Failure(m); !errors.Is(err, unix.ENOENT) {
				t.Errorf("%v: %v", c.forbidden, err)
			}
		}
	}
}

func TestJumpsRegistersAndPatches(t *testing.T) {
	_, out, exit, _ := run(t, func(p *Program, _ *sys.Conn) {
		dir := p.NewReg()
		p.Add(Step{
			For:  "open /bin",
			NR:   unix.SYS_OPENAT,
			Args: []Arg{Int(unix.AT_FDCWD), Str("/bin"), Hex(unix.O_PATH | unix.O_DIRECTORY)},
			Out:  dir,
		})
		p.Add(Step{
			For:  "look",
			NR:   unix.SYS_FACCESSAT2,
			Args: []Arg{Ref(dir), Str("no-such"), Int(unix.X_OK), Int(0)},
			Fail: "missing",
		})
		p.Fail("unreachable", unix.EUCLEAN)
		p.Mark("missing")
		p.Skip("error")
		p.Add(Step{Name: "error", NR: opFail, Args: []Arg{Int(int(unix.EUCLEAN))}})
		p.Patch("exec", 0, Str("/bin/echo"))
		p.Add(Step{
			Name: "exec",
			For:  "execve",
			NR:   unix.SYS_EXECVE,
			Args: []Arg{Str("/wrong"), Strs([]string{"echo", "patched"}, -1, nil), Strs(nil, -1, nil)},
		})
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
	p := NewProgram()
	buf := New(p, [16]byte{})
	p.Add(Step{
		For:   "wait for the parent",
		NR:    unix.SYS_RECVFROM,
		Args:  []Arg{FD(child.Fd(), "socket"), Mem(buf, "buf"), Int(len(buf))},
		Want:  1,
		Check: true,
	})
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

// TestChildHasNoSecrets looks for a string of the parent's heap, and of the program of
// another child, in the memory of a child that has not come to its execve yet.
func TestChildHasNoSecrets(t *testing.T) {
	if maps, err := os.ReadFile("/proc/self/maps"); err != nil || strings.Contains(string(maps), "/ld-linux") {
		t.Skip("linked with the C library, see hide")
	}
	secret := []byte(strings.Repeat("se", 8) + strconv.Itoa(os.Getpid()) + "cret")
	parent, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	other := NewProgram()
	defer other.Close()
	copy(NewSlice[byte](other, len(secret)), secret)
	p := NewProgram()
	own := strings.ToUpper(string(secret))
	buf := New(p, [1]byte{})
	p.Call(own, unix.SYS_FACCESSAT2, Int(unix.AT_FDCWD), Str("/"), Int(0), Int(0))
	p.Add(Step{
		For:  "keep",
		NR:   unix.SYS_FACCESSAT2,
		Args: []Arg{Int(unix.AT_FDCWD), Str(own), Int(0), Int(0)},
		Fail: "absent",
	})
	p.Mark("absent")
	p.Call("report", unix.SYS_SENDTO, FD(child.Fd(), "socket"), Mem(buf, "x"), Int(1), Int(0), Int(0), Int(0))
	p.Call("wait", unix.SYS_RECVFROM, FD(child.Fd(), "socket"), Mem(buf, "x"), Int(1), Int(0), Int(0), Int(0))
	p.Call("exit", unix.SYS_EXIT_GROUP, Int(0))
	c, err := Start(Config{Program: p, Conn: child})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Pidfd.Close()
	child.Close()
	if _, _, err := parent.Recv(); err != nil {
		t.Fatal(err)
	}
	mem := readMemory(t, c.Pid)
	if !bytes.Contains(mem, []byte(own)) {
		t.Error("the search does not even find the child's own string")
	}
	if bytes.Contains(mem, secret) {
		t.Error("the child has the parent's secret")
	}
	if err := parent.Send([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if _, err := sys.PidfdWait(c.Pidfd); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(secret)
}

// readMemory is all of a process's readable memory.
func readMemory(t *testing.T, pid int) (all []byte) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var perms string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perms); err != nil || perms[0] != 'r' ||
			strings.Contains(line, "[v") {
			continue
		}
		b := make([]byte, to-from)
		if _, err := mem.ReadAt(b, from); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, b...)
	}
	return all
}

func TestDumpIsTheOrderAsText(t *testing.T) {
	p := &Program{}
	r := p.NewReg()
	p.Mark("start")
	p.Add(Step{For: "make proc", NR: unix.SYS_FSOPEN, Args: []Arg{Str("proc"), Hex(1)}, Out: r})
	p.Call("open", unix.SYS_OPENAT, Open(unix.O_PATH|unix.O_DIRECTORY), Open(unix.O_RDWR|unix.O_CLOEXEC|unix.O_APPEND))
	p.Add(Step{For: "close it", NR: unix.SYS_CLOSE, Args: []Arg{Ref(r)}, Fail: "start"})
	want := "start:\n\tr1 = fsopen(\"proc\", 0x1)\t# make proc\n" +
		"\topenat(O_RDONLY|O_PATH|O_DIRECTORY, O_RDWR|O_CLOEXEC|0x400)\t# open\n\tclose(r1) error->start\t# close it\n"
	if got := p.Dump(); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(p.what(1), "make proc") {
		t.Fatal(p.what(1))
	}
}

func BenchmarkForkExec(b *testing.B) {
	for b.Loop() {
		parent, child, err := Pair()
		if err != nil {
			b.Fatal(err)
		}
		p := NewProgram()
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
