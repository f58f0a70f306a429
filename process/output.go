// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux"
)

// How long unread output is waited for. Nothing is waited for when the fifo is
// empty, so these bound a reader that lags, hangs or has gone.
const (
	// At the exit the announcement is held back, so a reader that does not read
	// at all must cost little.
	exitPatience = 20 * time.Millisecond
	exitLimit    = 500 * time.Millisecond
	// At Delete nobody minds, and the bytes are lost after it. The limit is that
	// of runc's shim.
	deletePatience = time.Second
	deleteLimit    = 10 * time.Second
	// settlePoll is how often we look: nothing tells a pipe's other owners that
	// it was emptied.
	settlePoll = 200 * time.Microsecond
)

// output is the shim's own read end of an output fifo. It is never read: it is
// there so that a container survives the reader's restart without a SIGPIPE, and
// to ask how much is unread.
type output struct {
	// unread: nobody had the fifo open to read when we opened it. Its reader may
	// still be on its way to open(2), which waits for a writer; a process that has
	// ended by then would be none.
	unread bool
	// invited is closed when invite ends; nil unless it was begun.
	invited chan struct{}

	mu sync.Mutex
	f  *os.File // guarded by mu while invite runs
}

// exited is called once the process is dead: what it wrote is given a moment to
// be read, and a reader that is still to come, or to come again after containerd's
// restart, is waited for in the background.
func (o *output) exited() {
	o.settle(exitPatience, exitLimit)
	if n, err := linux.PipePending(o.f); !o.unread && (err != nil || n == 0) {
		return
	}
	if err := o.exchange(syscall.O_WRONLY); err != nil {
		log.L.WithError(err).Warn("wait for a reader of the output")
		return
	}
	o.invited = make(chan struct{})
	go o.invite(o.name())
}

// invite is a writer of the fifo until it has a reader, who so gets what the
// process wrote, and the end of it. Then, as before, it is ours to read.
//
// The open(2) ends when there is a reader (fifo(7)). It takes a thread, but no time,
// as a stopped container may be kept for days, and no inotify instance, of which a
// user has few.
func (o *output) invite(name string) {
	defer close(o.invited)
	w, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		o.mu.Lock()
		err = o.exchange(syscall.O_RDONLY)
		o.mu.Unlock()
	}
	closeAll(w)
	if err != nil {
		log.L.WithError(err).Warn("end the output")
	}
}

// dismiss ends invite: a reader of ours is as good as another.
func (o *output) dismiss() {
	if o.invited == nil {
		return
	}
	o.mu.Lock()
	r, err := o.reopen(syscall.O_RDONLY)
	o.mu.Unlock()
	if err != nil {
		log.L.WithError(err).Warn("give up a reader of the output")
		return
	}
	<-o.invited
	closeAll(r)
}

// settle waits until the fifo is empty. It gives up after patience without a
// byte taken and after limit in any case (somebody may go on writing).
func (o *output) settle(patience, limit time.Duration) {
	o.await(patience, limit, func() bool { return true })
}

// drain is settle for the last time: it also ends when there is no reader.
func (o *output) drain(patience, limit time.Duration) {
	o.dismiss()
	if n, err := linux.PipePending(o.f); err != nil || n == 0 {
		return
	}
	if err := o.exchange(syscall.O_WRONLY); err != nil {
		log.L.WithError(err).Warn("wait for output to be read")
		return
	}
	o.await(patience, limit, o.hasReader)
}

// exchange opens the fifo's other end and closes the one that we have. As a writer
// we are no reader, and can ask whether there is one.
func (o *output) exchange(flag int) error {
	f, err := o.reopen(flag)
	if err != nil {
		return err
	}
	closeAll(o.f)
	o.f = f
	return nil
}

// hasReader tells whether somebody else reads, while our end is for writing: a
// fifo without a reader cannot be opened for writing (ENXIO, fifo(7)).
func (o *output) hasReader() bool {
	probe, err := o.reopen(syscall.O_WRONLY)
	closeAll(probe)
	return err == nil
}

func (o *output) reopen(flag int) (*os.File, error) {
	return open(o.name(), flag)
}

// name leads to the fifo, whose own name may be gone.
func (o *output) name() string { return "/proc/self/fd/" + strconv.Itoa(int(o.f.Fd())) }

func (o *output) await(patience, limit time.Duration, more func() bool) {
	unread, err := linux.PipePending(o.f)
	start := time.Now()
	for last := start; err == nil && unread > 0 && more(); {
		now := time.Now()
		if now.Sub(last) > patience || now.Sub(start) > limit {
			return
		}
		time.Sleep(settlePoll)
		var n int
		if n, err = linux.PipePending(o.f); n < unread {
			last = now
		}
		unread = n
	}
	if err != nil {
		log.L.WithError(err).Warn("wait for output to be read")
	}
}

func (o *output) close() {
	closeAll(o.f)
}
