// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// unfilled is memory whose first access does not end before fill is called
// (userfaultfd(2)), as that of a file on a server that does not answer.
func unfilled(t *testing.T) (memory []byte, fill func()) {
	t.Helper()
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		testenv.Unavailable(t, "userfaultfd: %v", errno)
	}
	memory, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	const api, register, missing = 0xc018aa3f, 0xc020aa00, 1 // UFFDIO_API, UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_MISSING
	hello := [3]uint64{0xaa}
	region := [4]uint64{uint64(uintptr(unsafe.Pointer(&memory[0]))), uint64(len(memory)), missing}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, api, uintptr(unsafe.Pointer(&hello))); errno != 0 {
		t.Fatal(errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, register, uintptr(unsafe.Pointer(&region))); errno != 0 {
		t.Fatal(errno)
	}
	return memory, func() { unix.Close(int(fd)) }
}

// TestAStuckStreamHoldsNobodyUp: a grandchild writes from memory that is not there, and has
// the pipe's mutex meanwhile, so that every other system call on the pipe waits.
func TestAStuckStreamHoldsNobodyUp(t *testing.T) {
	testenv.Root(t)
	testenv.NoLeaks(t)
	out := fifo(t, "out")
	client(t, out, os.O_RDONLY)
	s := openTest(t, Stdio{Stdout: out})
	memory, fill := unfilled(t)
	w, err := unix.FcntlInt(s.child[1].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		_, err := unix.Write(w, memory)
		unix.Close(w)
		written <- err
	}()
	time.Sleep(50 * time.Millisecond) // it is in write(2)
	begin := time.Now()
	s.started(nil)
	s.exited()
	if d := time.Since(begin); d > testenv.Patience(2*exitLimit) {
		t.Errorf("the exit took %v", d)
	}
	begin = time.Now()
	s.close()
	if d := time.Since(begin); d > testenv.Patience(deletePatience+2*stuckLimit) {
		t.Errorf("the delete took %v", d)
	}
	select {
	case err := <-written:
		t.Errorf("it was not stuck: %v", err)
	default:
	}
	fill()
	t.Log(<-written) // with an error or without
}
