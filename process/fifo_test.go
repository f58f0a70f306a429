// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestTheReaderSeesEveryByteAndTheEnd(t *testing.T) {
	testenv.NoLeaks(t)
	out, stderr := fifo(t, "out"), fifo(t, "err")
	r, e := client(t, out, os.O_RDONLY), client(t, stderr, os.O_RDONLY)
	s := openTest(t, Stdio{Stdout: out, Stderr: "fifo://" + stderr})
	cmd := container(t, s, "seq 100000; echo oops >&2")
	if got := readAll(t, r); !strings.HasSuffix(got, "\n100000\n") || strings.Count(got, "\n") != 100000 {
		t.Errorf("stdout: %d lines", strings.Count(got, "\n"))
	}
	if got := readAll(t, e); got != "oops\n" {
		t.Errorf("stderr: %q", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	s.exited()
	s.close()
}

// lateReader reads the fifo to its end as containerd's client does whose open(2)
// comes after the process's exit, and waits for a writer then.
func lateReader(t *testing.T, path string) string {
	t.Helper()
	read := make(chan string, 1)
	go func() {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		read <- string(data)
	}()
	select {
	case got := <-read:
		return got
	case <-time.After(10 * time.Second):
		t.Fatal("the late reader waits for a writer, or for its end")
		return ""
	}
}

func TestALateReaderSeesEveryByteAndTheEnd(t *testing.T) {
	for script, want := range map[string]string{"echo one": "one\n", "true": ""} {
		t.Run(script, func(t *testing.T) {
			testenv.NoLeaks(t)
			out := fifo(t, "out")
			s := openTest(t, Stdio{Stdout: out})
			if err := container(t, s, script).Wait(); err != nil {
				t.Fatal(err)
			}
			s.exited()
			if got := lateReader(t, out); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			s.close()
		})
	}
}

func TestNobodyComesToRead(t *testing.T) {
	testenv.NoLeaks(t)
	s := openTest(t, Stdio{Stdout: fifo(t, "out")})
	if err := container(t, s, "echo one").Wait(); err != nil {
		t.Fatal(err)
	}
	s.exited()
	start := time.Now()
	if s.close(); time.Since(start) > deletePatience {
		t.Errorf("a reader that never came was waited for: %v", time.Since(start))
	}
}

// TestWaitingForReadersCostsNoTime: containers that have ended, and whose output
// nobody reads, may be there by the hundred.
func TestWaitingForReadersCostsNoTime(t *testing.T) {
	testenv.NoLeaks(t)
	const n = 20
	for range n {
		s := openTest(t, Stdio{Stdout: fifo(t, "out"), Stderr: fifo(t, "err")})
		s.started(nil)
		s.exited()
		defer s.close()
	}
	switches := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return u.Nvcsw
	}
	// A look every 20 ms would be 1000 of them. The threads need a while to be there.
	for end := time.Now().Add(testenv.Patience(10 * time.Second)); ; {
		before := switches()
		time.Sleep(500 * time.Millisecond)
		woken := switches() - before
		if woken < n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("woken %d times in half a second", woken)
		}
	}
}

func TestTheContainerOutlivesItsReader(t *testing.T) {
	testenv.NoLeaks(t)
	out := fifo(t, "out")
	r := client(t, out, os.O_RDONLY)
	s := openTest(t, Stdio{Stdout: out, Stderr: out})
	cmd := container(t, s, "echo one; read x < "+fifoGate(t, "go")+"; echo two; echo three >&2")
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || line != "one\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if err := r.Close(); err != nil { // containerd stops
		t.Fatal(err)
	}
	openGate(t, "go")
	if err := cmd.Wait(); err != nil {
		t.Errorf("the container did not survive: %v", err)
	}
	s.exited()
	if got := lateReader(t, out); got != "two\nthree\n" { // and is back
		t.Errorf("got %q", got)
	}
	s.close()
}

// gates are fifos that a script waits at, by test and name.
var gates = map[string]string{}

func fifoGate(t *testing.T, name string) string {
	t.Helper()
	gates[t.Name()+name] = fifo(t, name)
	return gates[t.Name()+name]
}

func openGate(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(gates[t.Name()+name], []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestStdinEndsWithCloseIOAndNotBefore(t *testing.T) {
	testenv.NoLeaks(t)
	in, out := fifo(t, "in"), fifo(t, "out")
	r := client(t, out, os.O_RDONLY)
	s := openTest(t, Stdio{Stdin: in, Stdout: out})
	cmd := container(t, s, "cat; echo end")
	lines := bufio.NewReader(r)
	for _, word := range []string{"first\n", "second\n"} { // two clients, one after the other
		w := client(t, in, os.O_WRONLY)
		if _, err := w.WriteString(word); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := lines.ReadString('\n'); err != nil || got != word {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	for range 2 { // twice is no error
		if err := s.closeStdin(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := lines.ReadString('\n'); err != nil || got != "end\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	s.exited()
	s.close()
}

// A pipe's O_NONBLOCK belongs to all who share the description: the container
// must not find it set.
func TestTheContainersEndsBlock(t *testing.T) {
	in, out := fifo(t, "in"), fifo(t, "out")
	s := openTest(t, Stdio{Stdin: in, Stdout: out, Stderr: "file://" + filepath.Join(t.TempDir(), "log")})
	for i, f := range s.child {
		info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(f.Fd())))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(info), "flags:\t")
		flags, err := strconv.ParseUint(rest[:strings.IndexByte(rest, '\n')], 8, 64)
		if err != nil {
			t.Fatal(err)
		}
		if flags&syscall.O_NONBLOCK != 0 || flags&syscall.O_CLOEXEC == 0 {
			t.Errorf("stream %d: flags %#o", i, flags)
		}
	}
	if err := s.abort(); err != nil {
		t.Fatal(err)
	}
}

func TestTheExitWaitsForTheReader(t *testing.T) {
	out := fifo(t, "out")
	r := client(t, out, os.O_RDONLY)
	s := openTest(t, Stdio{Stdout: out})
	if err := container(t, s, "echo last line").Wait(); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(exitPatience / 4)
		_, _ = r.Read(make([]byte, 100))
	}()
	s.exited()
	if n := s.outputs[0].sink.unread(); n != 0 {
		t.Errorf("%d bytes unread", n)
	}
	s.close()
}

func TestNobodyIsWaitedForLong(t *testing.T) {
	for name, c := range map[string]struct {
		reader bool // there is one, but it does not read
		do     func(*streams)
		limit  time.Duration
	}{
		"exit, nothing read":      {true, (*streams).exited, 10 * exitPatience},
		"delete, nothing read":    {true, (*streams).close, 2 * deletePatience},
		"delete, reader is gone":  {false, (*streams).close, deletePatience / 2},
		"exit, reader is gone":    {false, (*streams).exited, 10 * exitPatience},
		"delete after it was all": {true, (*streams).close, 2 * deletePatience},
	} {
		t.Run(name, func(t *testing.T) {
			out := fifo(t, "out")
			r := client(t, out, os.O_RDONLY)
			s := openTest(t, Stdio{Stdout: out})
			if err := container(t, s, "echo unread").Wait(); err != nil {
				t.Fatal(err)
			}
			if !c.reader {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			c.do(s)
			if d := time.Since(start); d > c.limit {
				t.Errorf("took %s", d)
			}
			s.close()
		})
	}
}

// A grandchild that has stdout open is no reason to wait when all is read, and has
// SIGPIPE when it goes on writing after Delete, as with runc's shim.
func TestDeleteDoesNotWaitForAGrandchild(t *testing.T) {
	out := fifo(t, "out")
	r := client(t, out, os.O_RDONLY)
	s := openTest(t, Stdio{Stdout: out})
	gate := fifoGate(t, "go")
	cmd := container(t, s, "(read x < "+gate+"; echo late) & echo now")
	if got, err := bufio.NewReader(r).ReadString('\n'); err != nil || got != "now\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s.exited()
	s.close()
	if d := time.Since(start); d > testenv.Patience(exitPatience) {
		t.Errorf("took %s", d)
	}
	openGate(t, "go")
	if got := readAll(t, r); got != "" {
		t.Errorf("got %q", got)
	}
}
