// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSendFileInParts: what does not go in one sendmsg(2) arrives whole, and the
// descriptor once, with the first part.
func TestSendFileInParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // many times a socket's buffer
	sent, thread := make(chan error, 1), make(chan int, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		f, err := os.Open(os.DevNull)
		if err == nil {
			defer f.Close()
			err = SendFile(path, data, f, 10*time.Second)
		}
		sent <- err
	}()
	c, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for tid, i := <-thread, 0; i < 50; i++ {
		// Ends the call as soon as the buffer is full. Go's runtime ignores this signal.
		if err := unix.Tgkill(os.Getpid(), tid, unix.SIGURG); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	var got []byte
	var at []int // where descriptors came
	buf, oob := make([]byte, 1<<15), make([]byte, unix.CmsgSpace(16*4))
	for len(got) < len(data) {
		n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
		if err != nil || n == 0 {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		for _, fd := range descriptors(t, oob[:oobn]) {
			at = append(at, len(got))
			unix.Close(fd)
		}
		got = append(got, buf[:n]...)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) || len(at) != 1 || at[0] != 0 {
		t.Errorf("%d bytes, as sent: %v, descriptors at %d", len(got), bytes.Equal(got, data), at)
	}
}

func descriptors(t *testing.T, oob []byte) (fds []int) {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(oob)
	for i := range messages {
		rights, perr := unix.ParseUnixRights(&messages[i])
		err = errors.Join(err, perr)
		fds = append(fds, rights...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fds
}
