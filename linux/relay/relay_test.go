// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// running is a relay from a pipe, whose write end is w, to dst.
type running struct {
	*Relay
	t        *testing.T
	src, w   *os.File
	dst      *os.File
	finished chan error
}

func run(t *testing.T, dst *os.File, lost func(error)) *running {
	t.Helper()
	src, w := pipe(t)
	return runFrom(t, src, w, dst, lost)
}

func runFrom(t *testing.T, src, w, dst *os.File, lost func(error)) *running {
	t.Helper()
	relay, err := New(lost)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Relay: relay, t: t, src: src, w: w, dst: dst, finished: make(chan error, 1)}
	go func() {
		err := relay.Run(src, dst)
		_ = dst.Close()
		r.finished <- err
	}()
	t.Cleanup(r.Stop)
	return r
}

func (r *running) write(text string) {
	r.t.Helper()
	if _, err := r.w.WriteString(text); err != nil {
		r.t.Fatal(err)
	}
}

// ends waits for the end of Run.
func (r *running) ends() error {
	r.t.Helper()
	select {
	case err := <-r.finished:
		return err
	case <-time.After(testenv.Patience(10 * time.Second)):
		r.t.Fatal("the relay does not end")
		return nil
	}
}

func (r *running) flush() {
	r.t.Helper()
	select {
	case <-r.Flush():
	case <-time.After(testenv.Patience(10 * time.Second)):
		r.t.Fatal("what is there is not moved")
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func file(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), name), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestEveryByteInOrder has more to move than pipes hold, in pieces of all sizes, with a
// reader that lags.
func TestEveryByteInOrder(t *testing.T) {
	for name, size := range map[string]int{"lines": 100, "pages": 4096, "odd": 12345, "large": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			reader, dst := pipe(t)
			r := run(t, dst, nil)
			piece := strings.Repeat("0123456789abcdefghi\n", (size+19)/20)[:size]
			n := 4<<20/size + 1
			go func() {
				for range n {
					if _, err := r.w.WriteString(piece); err != nil {
						t.Error(err)
					}
				}
				r.w.Close()
			}()
			var got bytes.Buffer
			buf := make([]byte, 3000)
			for i := 0; ; i++ {
				k, err := reader.Read(buf)
				got.Write(buf[:k])
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if i%500 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			if err := r.ends(); err != nil {
				t.Error(err)
			}
			if got.String() != strings.Repeat(piece, n) {
				t.Errorf("%d bytes, want %d, or other ones", got.Len(), n*size)
			}
		})
	}
}

// TestEndWhileThereIsNoRoom: splice(2) has EAGAIN for a source at its end, too, when
// the destination is full.
func TestEndWhileThereIsNoRoom(t *testing.T) {
	_, dst := pipe(t)
	size, err := sys.PipeSize(dst)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dst.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	r := run(t, dst, nil)
	r.w.Close()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}

// TestNobodyReads: as much as two pipes hold is taken, and no more, and it costs no
// time.
func TestNobodyReads(t *testing.T) {
	_, dst := pipe(t)
	r := run(t, dst, nil)
	if err := sys.SetNonblock(r.w); err != nil {
		t.Fatal(err)
	}
	full := func() (n int) {
		for quiet := 0; quiet < 20; quiet++ {
			k, err := sys.Write(r.w, make([]byte, 4096))
			if n += k; err == nil {
				quiet = 0
			}
			time.Sleep(time.Millisecond)
		}
		return n
	}
	if n := full(); n > 2*fullSize {
		t.Errorf("%d bytes were taken", n)
	}
	before := switches(t)
	time.Sleep(500 * time.Millisecond)
	if woken := switches(t) - before; woken > 50 {
		t.Errorf("woken %d times in half a second", woken)
	}
	r.Stop()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}

func switches(t *testing.T) int64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Nvcsw
}

// TestLinesAreMovedTogether: a flood of lines is not a flood of wake-ups, and leaves
// the pipes as they were.
func TestLinesAreMovedTogether(t *testing.T) {
	reader, dst := pipe(t)
	r := run(t, dst, nil)
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	before, calls := switches(t), 0
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); calls++ {
		r.write(strings.Repeat("x", 99) + "\n")
	}
	woken := switches(t) - before
	if woken > int64(calls)/5 {
		t.Errorf("%d wake-ups for %d lines", woken, calls)
	}
	for _, f := range []*os.File{r.src, dst} {
		if size, err := sys.PipeSize(f); err != nil || size != fullSize {
			t.Errorf("a busy pipe has %d, %v", size, err)
		}
	}
	for end := time.Now().Add(testenv.Patience(10 * time.Second)); ; time.Sleep(20 * time.Millisecond) {
		src, err := sys.PipeSize(r.src)
		size, derr := sys.PipeSize(dst)
		if src < fullSize && size < fullSize {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("idle pipes have %d and %d, %v", src, size, errors.Join(err, derr))
		}
	}
}

// TestConversation: two that wait for each other's words are not held up.
// TestFloodOfATerminal has more to move than is worth a rest, in reads of 4 KiB at most.
func TestFloodOfATerminal(t *testing.T) {
	const word = "1234567 "
	master, slave := testenv.PTY(t)
	reader, dst := pipe(t)
	r := runFrom(t, master, slave, dst, nil)
	const words, lines = 1 << 12, 1 << 13
	line := strings.Repeat(word, 128)
	size := int64(words*len(word) + lines*len(line))
	start := time.Now()
	go func() {
		for range words { // the relay sees little ones first
			r.write(word)
		}
		for range lines {
			r.write(line)
		}
	}()
	if n, err := io.CopyN(io.Discard, reader, size); err != nil {
		t.Errorf("%d bytes: %v", n, err)
	}
	// 0.2 s; with a rest for each read it would be 8 s.
	if d := time.Since(start); d > testenv.Patience(3*time.Second) {
		t.Errorf("%d bytes took %s", size, d)
	}
}

func TestConversation(t *testing.T) {
	reader, dst := pipe(t)
	r := run(t, dst, nil)
	const words = 2000
	begin := time.Now()
	buf := make([]byte, 100)
	for range words {
		r.write("word\n")
		if n, err := reader.Read(buf); err != nil || string(buf[:n]) != "word\n" {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
	t.Logf("%v a word", time.Since(begin)/words)
	if d := time.Since(begin) / words; d > testenv.Patience(pace/2) {
		t.Errorf("%v a word", d)
	}
}

// TestFlush: what there is is moved, whoever holds the pipe.
func TestFlush(t *testing.T) {
	dst := file(t, "log")
	r := run(t, dst, nil)
	r.flush()
	for i, want := range []string{"one\n", "one\ntwo\n"} {
		r.write(want[i*4:])
		r.flush()
		got, err := os.ReadFile(dst.Name())
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v", got, err)
		}
	}
	r.Stop()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
	r.flush() // of one that has ended
}

// TestRotation: a log that is renamed is written to on; one that is truncated is
// written from its beginning, without a hole.
func TestRotation(t *testing.T) {
	dst := file(t, "log")
	r := run(t, dst, nil)
	r.write("one\n")
	r.flush()
	if err := os.Rename(dst.Name(), dst.Name()+".1"); err != nil {
		t.Fatal(err)
	}
	r.write("two\n")
	r.flush()
	if got, err := os.ReadFile(dst.Name() + ".1"); err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("renamed: got %q, %v", got, err)
	}
	if err := os.Truncate(dst.Name()+".1", 0); err != nil {
		t.Fatal(err)
	}
	r.write("three\n")
	r.flush()
	if got, err := os.ReadFile(dst.Name() + ".1"); err != nil || string(got) != "three\n" {
		t.Errorf("truncated: got %q, %v", got, err)
	}
}

// TestFullDisk: what does not go onto a disk is lost, and the writer lives; what comes
// when there is room again is written.
func TestFullDisk(t *testing.T) {
	testenv.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("small", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dst, err := os.OpenFile(dir+"/log", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	lost := make(chan error, 10)
	r := run(t, dst, func(err error) { lost <- err })
	for range 100 {
		r.write(strings.Repeat("x", 4096))
	}
	r.flush()
	if err := <-lost; !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("lost because of %v", err)
	}
	if n := len(lost); n > 0 {
		t.Errorf("told %d times more", n)
	}
	if err := os.Truncate(dst.Name(), 0); err != nil {
		t.Fatal(err)
	}
	r.write("there is room\n")
	r.flush()
	if got, err := os.ReadFile(dst.Name()); err != nil || string(got) != "there is room\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestNoReader: a pipe without a reader ends the relay with EPIPE.
func TestNoReader(t *testing.T) {
	reader, dst := pipe(t)
	r := run(t, dst, nil)
	reader.Close()
	r.write("x")
	if err := r.ends(); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v", err)
	}
}

// TestTheOtherEndBlocks: only our ends are made non-blocking.
func TestTheOtherEndBlocks(t *testing.T) {
	reader, dst := pipe(t)
	r := run(t, dst, nil)
	r.flush()
	for _, f := range []*os.File{r.w, reader} {
		err := sys.Control(f, func(fd int) error {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			if flags&unix.O_NONBLOCK != 0 {
				t.Error("it is non-blocking")
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
