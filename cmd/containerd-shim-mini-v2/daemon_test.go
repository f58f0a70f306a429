// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	taskv3 "github.com/containerd/containerd/api/runtime/task/v3"
	"google.golang.org/protobuf/proto"
)

func TestShutdownEndsTheDaemon(t *testing.T) {
	r := newRig(t)
	path := r.start("c1", r.bundle("c1"))
	client, pid := dial(t, path)
	if _, err := taskv3.NewTTRPCTaskClient(client).Shutdown(timeout(t), &taskv3.ShutdownRequest{ID: "c1"}); err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
	if exists(path) {
		t.Error("the socket is left")
	}
}

func TestSignalsEndTheDaemon(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			r := newRig(t)
			path := r.start("c1", r.bundle("c1"))
			_, pid := dial(t, path)
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
			waitGone(t, pid)
			if exists(path) {
				t.Error("the socket is left")
			}
		})
	}
}

// A daemon that nobody can ask for anything any more must not stay for ever.
func TestAbandonedDaemonEnds(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	path := r.start("c1", bundle)
	client, pid := dial(t, path)
	if err := os.RemoveAll(bundle); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("ended with containerd connected: %v", err)
	}
	client.Close()
	waitGone(t, pid)
	if exists(path) {
		t.Error("the socket is left")
	}
}

// CVE-2019-5736: nobody gets at the program through a process that runs it.
func TestImageIsSealed(t *testing.T) {
	r := newRig(t)
	// A copy of its own: tests run the shared one at the same time.
	r.binary = filepath.Join(r.root, "a copy", "containerd-shim-mini-v2")
	if err := os.Mkdir(filepath.Dir(r.binary), 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(shimBinary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.binary, data, 0o755); err != nil {
		t.Fatal(err)
	}
	path := r.start("c1", r.bundle("c1"))
	_, pid := dial(t, path)

	exe := fmt.Sprintf("/proc/%d/exe", pid)
	if f, err := os.OpenFile(exe, os.O_WRONLY, 0); err == nil {
		f.Close()
		t.Error("the running image can be opened for writing")
	}
	// An attacker keeps a descriptor until nobody executes the file any more.
	held, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	// Copying a new version over a running one fails, as with any program.
	if f, err := os.OpenFile(r.binary, os.O_WRONLY, 0); !errors.Is(err, syscall.ETXTBSY) {
		f.Close()
		t.Errorf("writing to the installed binary: %v, want ETXTBSY", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
	old := fmt.Sprintf("/proc/self/fd/%d", held.Fd())
	eventually(t, "the image is not busy", func() bool {
		f, err := os.OpenFile(old, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
			t.Fatal("the image can be opened for writing through an old descriptor")
		}
		return errors.Is(err, syscall.EROFS)
	})
	if out, err := exec.Command("mount", "-o", "remount,bind,rw", exe).CombinedOutput(); err == nil {
		t.Errorf("the image's mount was made writable: %s", out)
	}
	now, err := os.ReadFile(r.binary)
	if err != nil || !bytes.Equal(now, data) {
		t.Errorf("the binary changed: %v", err)
	}
}

// talkTo names the variable that has the test binary talk to a socket.
const talkTo = "MINI_TALK_TO"

func TestPeerOfAnotherUser(t *testing.T) {
	r := newRig(t)
	path := r.start("c1", r.bundle("c1"))
	// Modes that would let anybody in leave it to the credentials.
	for p, mode := range map[string]os.FileMode{r.root: 0o755, r.sockets: 0o755, path: 0o666} {
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	talk := func(uid uint32) string {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{talkTo + "=" + path}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if uid != 0 { // the test binary is in root's directory
			exe, err := os.Open(os.Args[0])
			if err != nil {
				t.Fatal(err)
			}
			defer exe.Close()
			cmd.Path, cmd.ExtraFiles = "/proc/self/fd/3", []*os.File{exe}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Sprintf("%v: %s", err, out)
		}
		return string(out)
	}
	if out := talk(0); !strings.Contains(out, "answered") {
		t.Errorf("root: %s", out)
	}
	if out := talk(65534); !strings.Contains(out, "hung up") {
		t.Errorf("nobody: %s", out)
	}
}

// talk is the other side of TestPeerOfAnotherUser, in a process of its own.
func talk(path string) string {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	// A request on a stream of an even number, which ttrpc answers with an error.
	if _, err := conn.Write([]byte{0, 0, 0, 0, 0, 0, 0, 2, 1, 0}); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err.Error()
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err.Error()
	}
	n, err := conn.Read(make([]byte, 64))
	switch {
	case n > 0:
		return "answered"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "hung up"
	}
	return err.Error()
}

func TestLog(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	fifo := filepath.Join(bundle, "log")
	if err := syscall.Mkfifo(fifo, 0o700); err != nil {
		t.Fatal(err)
	}
	path := r.start("c1", bundle) // no reader yet: must not wait for one
	_, pid := dial(t, path)

	read := func() string {
		f, err := os.OpenFile(fifo, os.O_RDWR|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		eventually(t, "stacks in the log", func() bool {
			buf := make([]byte, 1<<16)
			if err := f.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			n, _ := f.Read(buf)
			text.Write(buf[:n])
			return strings.Contains(text.String(), "goroutine ")
		})
		return text.String()
	}
	if text := read(); !strings.Contains(text, "level=info") {
		t.Errorf("log: %q", text)
	}
	// The reader has gone, as when containerd restarts, and nothing holds the
	// daemon up however much it has to say; then there is another reader.
	for range 100 {
		if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	dial(t, path)
	read()
}

func TestDelete(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	path := r.start("c1", bundle)
	pid := oneDaemon(t, "c1")
	call := func() *taskv3.DeleteResponse {
		t.Helper()
		args := append([]string{"-bundle", bundle}, verb("c1", "delete")...)
		stdout, stderr, err := r.run(bundle, nil, args...)
		if err != nil || stderr != "" {
			t.Fatalf("delete: %v: %s", err, stderr)
		}
		resp := new(taskv3.DeleteResponse)
		if err := proto.Unmarshal([]byte(stdout), resp); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	// Another container's shim is gone for containerd; ours lives.
	if got := call(); got.ExitStatus != 137 || got.Pid != 0 || time.Since(got.ExitedAt.AsTime()) > time.Minute {
		t.Errorf("delete answers %v", got)
	}
	if !exists(path) {
		t.Error("the socket of a living shim was removed")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
	exit := `{"Timestamp":"2026-01-02T03:04:05.6Z","Pid":77,"Status":3}`
	if err := os.WriteFile(filepath.Join(bundle, "exit.json"), []byte(exit), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := call(); got.ExitStatus != 3 || got.Pid != 77 || got.ExitedAt.AsTime().Format(time.RFC3339Nano) != "2026-01-02T03:04:05.6Z" {
		t.Errorf("delete answers %v", got)
	}
	if exists(path) {
		t.Error("the socket of a dead shim is left")
	}
}

func TestDebugSocketIsRefusedPolitely(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	socket := filepath.Join(r.root, "own.sock")
	cmd := exec.Command(r.binary, "-namespace", "test", "-id", "c1", "-socket", socket, "-debug-socket", filepath.Join(r.root, "debug.sock"))
	var log bytes.Buffer
	cmd.Dir, cmd.Stderr = bundle, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "socket", func() bool { return exists(socket) })
	if _, pid := dial(t, socket); pid != cmd.Process.Pid {
		t.Errorf("pid %d answers", pid)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(log.String(), "without the tag pprof") {
		t.Errorf("daemon: %v, log %q", err, log.String())
	}
}
