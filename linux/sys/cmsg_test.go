// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"io"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestEmptyMessageWithDescriptors: it is the end of what comes, and the descriptors in it
// are closed.
func TestEmptyMessageWithDescriptors(t *testing.T) {
	own, peer, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	defer peer.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// unix.Sendmsg would add a byte.
	oob := unix.UnixRights(int(w.Fd()))
	msg := unix.Msghdr{Control: &oob[0]}
	msg.SetControllen(len(oob))
	if _, _, errno := unix.Syscall(unix.SYS_SENDMSG, peer.Fd(), uintptr(unsafe.Pointer(&msg)), 0); errno != 0 {
		t.Fatal(errno)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if msg, files, err := own.Recv(); !errors.Is(err, io.EOF) || len(files) > 0 {
		t.Errorf("got %q, %d files, %v", msg, len(files), err)
	}
	// Nobody has the other end any more.
	poll := []unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); n != 1 || err != nil || poll[0].Revents&unix.POLLHUP == 0 {
		t.Errorf("the descriptor is open: %d, %#x, %v", n, poll[0].Revents, err)
	}
}
