// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux/relay"
)

// sink is where output goes: a fifo that containerd reads, a file, or a logger's pipe
// for a terminal.
//
// Of a fifo the shim keeps a read end of its own, which it never reads. So what it
// writes meets no EPIPE while containerd restarts, and what was written stays until
// somebody comes to read it.
type sink struct {
	mu       sync.Mutex
	w        *os.File      // guarded by mu; nil once finish has ended
	r        *os.File      // guarded by mu; nil unless a fifo, and while finish or drained look for other readers
	fifo     bool          // immutable
	finished chan struct{} // closed when finish has ended
}

// same reports whether both lead to the same file.
func (k *sink) same(other *sink) bool {
	a, aerr := k.w.Stat()
	b, berr := other.w.Stat()
	return aerr == nil && berr == nil && os.SameFile(a, b)
}

// finish ends the output: everything has been written. Of a fifo the reader must see
// that, so it must be there: its open(2) waits for a writer, and may come after the
// process's exit, on a busy machine, or when containerd is back. So finish waits for
// a reader, which takes a thread (fifo(7)) but no time, and ends with drop.
//
// Neither poll(2) nor epoll tells a writer of a reader that comes, and inotify
// instances are few.
func (k *sink) finish() {
	defer close(k.finished)
	if k.fifo {
		k.awaitReader()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	closeAll(k.w)
	k.w = nil
}

func (k *sink) awaitReader() {
	k.mu.Lock()
	w := k.w
	closeAll(k.r) // only others count
	k.r = nil
	k.mu.Unlock()
	probe, err := os.OpenFile(reopenPath(w), os.O_WRONLY, 0)
	if err == nil {
		k.mu.Lock()
		k.r, err = open(reopenPath(w), syscall.O_RDONLY)
		k.mu.Unlock()
	}
	closeAll(probe)
	if err != nil {
		log.L.WithError(err).Warn("wait for a reader of the output")
	}
}

// unread returns the number of bytes in a fifo.
func (k *sink) unread() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.w
	if f == nil {
		f = k.r
	}
	if !k.fifo || f == nil {
		return 0
	}
	n, err := relay.Unread(f)
	if err != nil {
		log.L.WithError(err).Warn("ask for unread output")
	}
	return n
}

// hasReader reports whether somebody else reads the fifo. From the first call on,
// the shim is no reader of it: who writes to it without one has EPIPE.
func (k *sink) hasReader() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.fifo {
		return true
	}
	if k.w == nil && k.r != nil {
		w, err := open(reopenPath(k.r), syscall.O_WRONLY)
		if err != nil {
			return false
		}
		k.w = w
	}
	closeAll(k.r)
	k.r = nil
	if k.w == nil {
		return false
	}
	has, err := relay.HasReader(k.w)
	return err == nil && has
}

// drop ends finish, or has it not wait.
func (k *sink) drop() {
	k.mu.Lock()
	var r *os.File
	if k.fifo && k.w != nil {
		r, _ = open(reopenPath(k.w), syscall.O_RDONLY) // a reader of ours is as good as another
	}
	k.mu.Unlock()
	<-k.finished
	closeAll(r)
}

// close releases the sink. Precondition: finish has ended, or was never called.
func (k *sink) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	closeAll(k.w, k.r)
	k.w, k.r = nil, nil
}

// reopenPath leads to a fifo whose own name may be gone.
func reopenPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
