// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "s")
	fd, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { unix.Close(fd) }()
	if again, err := Listen(path); !errors.Is(err, ErrInUse) {
		unix.Close(again)
		t.Errorf("Listen on a live socket: %v", err)
	}
	if err := RemoveDead(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("RemoveDead took a live socket: %v", err)
	}
	unix.Close(fd)
	if fd, err = Listen(path); err != nil {
		t.Fatalf("Listen on a dead socket: %v", err)
	}
	unix.Close(fd)
	if err := RemoveDead(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("RemoveDead left a dead socket: %v", err)
	}
	for _, missing := range []string{path, filepath.Join(path, "no", "dir")} {
		if err := RemoveDead(missing); err != nil {
			t.Errorf("RemoveDead(%s) = %v", missing, err)
		}
	}
	fd = -1
}

func TestListenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	type result struct {
		fd  int
		err error
	}
	results := make(chan result)
	const n = 16
	for range n {
		go func() {
			fd, err := Listen(path)
			results <- result{fd, err}
		}()
	}
	winners := 0
	for range n {
		r := <-results
		switch {
		case r.err == nil:
			winners++
			defer unix.Close(r.fd)
		case !errors.Is(r.err, ErrInUse):
			t.Error(r.err)
		}
	}
	if winners != 1 {
		t.Errorf("%d listen on one path", winners)
	}
}

// TestListenOnShared: of two that share a socket, as `start` and its daemon do, one
// gives it its name, and the other finds it so, also half done.
func TestListenOnShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := NewSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	other, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	if Listens(other) {
		t.Error("a new socket listens")
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil { // and is killed
		t.Fatal(err)
	}
	for _, fd := range []int{other, fd} {
		if err := ListenOn(fd, path); err != nil {
			t.Fatal(err)
		}
		if !Listens(fd) {
			t.Error("it does not listen")
		}
	}
	if answers, err := Answers(path); err != nil || !answers {
		t.Errorf("Answers = %v, %v", answers, err)
	}
	if err := RemoveDead(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("RemoveDead took a live socket: %v", err)
	}
}

func TestListenOnFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	// connect(2) refuses what is no socket with the same error as a dead one.
	if fd, err := Listen(path); !errors.Is(err, unix.ENOTSOCK) {
		unix.Close(fd)
		t.Errorf("Listen: %v, want ENOTSOCK", err)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "mine" {
		t.Errorf("the file holds %q, %v", data, err)
	}
}

func TestCheckPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := CheckPeer(s.(*net.UnixConn)); err != nil {
		t.Errorf("CheckPeer of ourselves: %v", err)
	}
}

// TestSocketOfAnotherUser: a shim of another user is neither taken for ours nor
// replaced. A socket's credentials are those of the thread that called listen(2).
func TestSocketOfAnotherUser(t *testing.T) {
	testenv.Root(t)
	path := filepath.Join(t.TempDir(), "s")
	fd, err := NewSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	listened := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is another user's
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			listened <- err
			return
		}
		const keep = ^uintptr(0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, 65534, keep); errno != 0 {
			listened <- errno
			return
		}
		listened <- unix.Listen(fd, 16)
	}()
	if err := <-listened; err != nil {
		t.Fatal(err)
	}
	if answers, err := Answers(path); answers || !errors.Is(err, unix.EPERM) {
		t.Errorf("Answers = %v, %v, want EPERM", answers, err)
	}
	if fd, err := Listen(path); !errors.Is(err, unix.EPERM) {
		unix.Close(fd)
		t.Errorf("Listen: %v, want EPERM", err)
	}
	if err := RemoveDead(path); !errors.Is(err, unix.EPERM) {
		t.Errorf("RemoveDead: %v, want EPERM", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}
