// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/containerd/log"
)

// Times of a terminal's end.
const (
	// hangupGrace is how long after a process's death its terminal may stay open
	// in other hands (a grandchild of an exec). After it what has been written is
	// copied and the copy ends, as at once under runc's shim; not at once here,
	// because the kernel brings a terminal's last bytes by a work queue.
	hangupGrace = 100 * time.Millisecond
	// copyBuffer is what one read of a pty can return (N_TTY_BUF_SIZE).
	copyBuffer = 4096
)

// terminal copies between a process's pty master, which linux.Process owns, and
// what containerd named: the one place where the shim is in the data path.
//
// Two goroutines: output ends at the hang-up of the terminal or after
// hangupGrace, input when stdin ends or the terminal or stdin is closed. Both
// have ended when close returns.
type terminal struct {
	in, out *os.File // ours; either may be nil
	console *os.File // set by start

	outDone chan struct{}
	inDone  chan struct{}
}

// newTerminal takes ownership of in and out.
func newTerminal(in, out *os.File) *terminal {
	return &terminal{in: in, out: out, outDone: make(chan struct{}), inDone: make(chan struct{})}
}

// start begins to copy.
func (t *terminal) start(console *os.File) {
	t.console = console
	go t.copyOut()
	go t.copyIn()
}

// exited waits, for a bounded time, until the output was copied. Nobody reads
// stdin any more.
func (t *terminal) exited() {
	closeAll(t.in)
	if err := ignoreClosed(t.console.SetReadDeadline(time.Now().Add(hangupGrace))); err != nil {
		log.L.WithError(err).Warn("end terminal")
	}
	t.await(hangupGrace + exitLimit)
}

// close ends both copies. Precondition: exited.
func (t *terminal) close() {
	t.await(deleteLimit)
	closeAll(t.out)
	<-t.outDone
	closeAll(t.console) // an input that the terminal does not take
	<-t.inDone
}

// abort releases a terminal that was not started.
func (t *terminal) abort() { closeAll(t.in, t.out) }

func (t *terminal) await(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.outDone:
	case <-timer.C:
	}
}

// copyOut copies from the terminal until its end. When the reader cannot be
// written to any more the rest is dropped, so that the container goes on.
func (t *terminal) copyOut() {
	defer close(t.outDone)
	defer closeAll(t.out)
	out := t.out
	buf := make([]byte, copyBuffer)
	for {
		n, err := t.read(buf)
		if n > 0 && out != nil {
			if _, werr := out.Write(buf[:n]); werr != nil {
				log.L.WithError(werr).Warn("copy terminal output")
				out = nil
			}
		}
		if err != nil {
			return
		}
	}
}

// read reads from the terminal; after the deadline that exited sets, what is
// there without waiting.
func (t *terminal) read(buf []byte) (n int, err error) {
	n, err = t.console.Read(buf)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	raw, err := t.console.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) {
		for {
			if n, err = syscall.Read(int(fd), buf); !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	switch {
	case cerr != nil:
		return 0, cerr
	case err != nil: // EAGAIN: nothing is there; EIO: hung up
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// copyIn copies to the terminal until stdin ends, which is when CloseIO and
// containerd have given it up; then the terminal is hung up, as by runc's shim:
// nothing else ends a program that reads it.
func (t *terminal) copyIn() {
	defer close(t.inDone)
	if t.in == nil {
		return
	}
	defer closeAll(t.in)
	// Only Read and Write: with their other methods io.Copy would try splice(2).
	_, err := io.CopyBuffer(struct{ io.Writer }{t.console}, struct{ io.Reader }{t.in}, make([]byte, copyBuffer))
	if err == nil {
		closeAll(t.console)
	}
}
