// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	taskv3 "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
)

func TestShutdownEndsTheDaemon(t *testing.T) {
	r := newRig(t)
	path := r.start("c1", r.bundle("c1"))
	client, pid := dial(t, path)
	// ErrClosed: of an answer and the end of the connection, which come together, ttrpc's
	// client takes either.
	_, err := taskv3.NewTTRPCTaskClient(client).Shutdown(timeout(t), &taskv3.ShutdownRequest{ID: "c1"})
	if err != nil && !errors.Is(err, ttrpc.ErrClosed) {
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

// TestNoInotify: of its instances a user has 128 (fs.inotify.max_user_instances),
// which is fewer than a node may have shims.
func TestNoInotify(t *testing.T) {
	r := newRig(t)
	_, pid := dial(t, r.start("c1", r.bundle("c1")))
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("%q, %v", fds, err)
	}
	for _, fd := range fds {
		if what, err := os.Readlink(fd); strings.Contains(what, "inotify") {
			t.Errorf("%s: %s, %v", fd, what, err)
		}
	}
}

// CVE-2019-5736: nobody gets at the program through a process that runs it.

// talkTo names the variable that has the test binary talk to a socket.

// talk is the other side of TestPeerOfAnotherUser, in a process of its own.

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

func TestDebugSocketIsRefusedPolitely(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	socket := filepath.Join(r.root, "own.sock")
	cmd := exec.Command(
		r.binary,
		"-namespace", "test",
		"-id", "c1",
		"-socket", socket,
		"-debug-socket", filepath.Join(r.root, "debug.sock"),
	)
	var log bytes.Buffer
	cmd.Dir, cmd.Stderr = bundle, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	eventually(t, "the daemon listens", func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			err = conn.Close()
		}
		return err == nil
	})
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
