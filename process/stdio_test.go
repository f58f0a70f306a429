// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/testenv"
)

func fifo(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := syscall.Mkfifo(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// client opens a fifo as containerd's client does, before the shim.
func client(t testing.TB, path string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func openTest(t *testing.T, s Stdio) *streams {
	t.Helper()
	st, err := openStreams(t.Context(), &streamsConfig{Stdio: s, ID: "id", Namespace: "ns"})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// container runs a shell script with the container's ends of s, as a container
// would have them, and gives the shim's copies up.
func container(t *testing.T, s *streams, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	for i, to := range []any{&cmd.Stdin, &cmd.Stdout, &cmd.Stderr} {
		if s.child[i] == nil {
			continue
		}
		switch to := to.(type) {
		case *io.Reader:
			*to = s.child[i]
		case *io.Writer:
			*to = s.child[i]
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.started(nil)
	return cmd
}

func readAll(t testing.TB, f *os.File) string {
	t.Helper()
	_ = f.SetReadDeadline(time.Now().Add(testenv.Patience(10 * time.Second)))
	data, err := io.ReadAll(f)
	if err != nil {
		t.Errorf("read %s: %v", f.Name(), err)
	}
	return string(data)
}

func TestFileIsMadeAndAppendedTo(t *testing.T) {
	testenv.NoLeaks(t)
	path := filepath.Join(t.TempDir(), "a", "b", "log")
	for range 2 {
		s := openTest(t, Stdio{Stdout: "file://" + path, Stderr: "file://" + path})
		if err := container(t, s, "echo out; echo err >&2").Wait(); err != nil {
			t.Fatal(err)
		}
		s.exited()
		s.close()
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "out\nerr\nout\nerr\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestABarePathMayBeAnyFileThatExists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	_, err := openStreams(t.Context(), &streamsConfig{Stdio: Stdio{Stdout: path}})
	if !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("no file: got %v", err)
	}
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, Stdio{Stdin: "/dev/zero", Stdout: path})
	if err := container(t, s, "head -c 2 | od -An -tx1; echo after").Wait(); err != nil {
		t.Fatal(err)
	}
	s.exited()
	s.close()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "before\n 00 00\nafter\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// The container's ends belong to the user that the options name; what is containerd's
// is left alone.
func TestTheContainersEndsAreGivenToItsUser(t *testing.T) {
	testenv.Root(t)
	in, out, log := fifo(t, "in"), fifo(t, "out"), filepath.Join(t.TempDir(), "log")
	s, err := openStreams(
		t.Context(),
		&streamsConfig{Stdio: Stdio{Stdin: in, Stdout: out, Stderr: "file://" + log}, UID: 1234, GID: 5678},
	)
	if err != nil {
		t.Fatal(err)
	}
	owner := func(info os.FileInfo, err error) [2]uint32 {
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		return [2]uint32{st.Uid, st.Gid}
	}
	for i, f := range s.child {
		if got := owner(f.Stat()); got != [2]uint32{1234, 5678} {
			t.Errorf("stream %d belongs to %v", i, got)
		}
	}
	for _, path := range []string{in, out, log} {
		if got := owner(os.Stat(path)); got != [2]uint32{0, 0} {
			t.Errorf("%s belongs to %v", path, got)
		}
	}
	if err := s.abort(); err != nil {
		t.Fatal(err)
	}
}

func TestStdioRefused(t *testing.T) {
	testenv.NoLeaks(t)
	out := fifo(t, "out")
	client(t, out, os.O_RDONLY)
	for name, s := range map[string]Stdio{
		"stdin from a file uri":         {Stdin: "file:///dev/null", Stdout: out},
		"unknown scheme":                {Stdout: "gopher:///x"},
		"a second logger":               {Stdout: "binary:///bin/true", Stderr: "binary:///bin/false"},
		"a logger for stderr alone":     {Stdout: out, Stderr: "binary:///bin/true"},
		"bad stderr after a good start": {Stdout: out, Stderr: "relative"},
	} {
		_, err := openStreams(t.Context(), &streamsConfig{Stdio: s})
		if !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
