// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux/relay"
)

// How long output is waited for. Nothing is waited for when it was all read, so
// these bound a reader that lags, hangs or has gone.
const (
	// At the exit the announcement is held back, so a reader that does not read
	// at all must cost little.
	exitPatience = 20 * time.Millisecond
	exitLimit    = 500 * time.Millisecond
	// At Delete nobody minds, and the bytes are lost after it. The limit is that
	// of runc's shim.
	deletePatience = time.Second
	deleteLimit    = 10 * time.Second
	// settlePoll is the time between two looks whether the reader has read it all: the
	// kernel does not announce that a pipe was emptied.
	settlePoll = 200 * time.Microsecond
	// stuckLimit bounds the wait for a relay that was stopped. It takes longer only if a
	// system call does not end (package relay). Then no other call on its files may end
	// either, not even a close.
	stuckLimit = time.Second
)

// output moves what a process writes to a sink.
//
//	newOutput -> start -> exited -> close;  newOutput -> abort
type output struct {
	sink  *sink
	src   *os.File // our end of the container's pipe, or nil; closed at its end
	relay *relay.Relay
	moved chan struct{} // closed when the relay has ended
}

// newOutput takes ownership of sink and src. src is nil for a terminal, which start
// names.
func newOutput(s *sink, src *os.File, name string) (*output, error) {
	r, err := relay.New(func(err error) {
		log.L.WithError(err).WithField("output", name).Warn("output is lost")
	})
	if err != nil {
		closeAll(src)
		s.close()
		return nil, err
	}
	return &output{sink: s, src: src, relay: r, moved: make(chan struct{})}, nil
}

// start begins to move, from the terminal if there is one, which the caller keeps.
func (o *output) start(console *os.File) {
	src := o.src
	if src == nil {
		src = console
	}
	go func() {
		// EPIPE: close has found that there is no reader.
		if err := o.relay.Run(src, o.sink.w); err != nil && !errors.Is(err, syscall.EPIPE) {
			log.L.WithError(err).Warn("move output")
		}
		closeAll(o.src) // who writes now has SIGPIPE
		close(o.moved)
		o.sink.finish()
	}()
}

// exited is called once the process is dead, and before anybody is told: what it
// wrote is moved, and then given a moment to be read, for containerd's client stops
// reading when it learns of the exit. If other processes hold the stream, no more is
// waited for than what it has now.
func (o *output) exited() {
	bounded(exitLimit+exitPatience, func() {
		o.await(exitPatience, exitLimit, func() bool { return true })
	})
}

// close releases everything. Until all was read it waits for a bounded time, and no
// longer than there is a reader.
func (o *output) close() {
	bounded(deleteLimit, func() { o.await(deletePatience, deleteLimit, o.sink.hasReader) })
	o.relay.Stop()
	ended := bounded(stuckLimit, func() {
		<-o.moved
		o.release()
	})
	if !ended {
		log.L.Warn("a stream is stuck: it is left to end by itself")
	}
}

func (o *output) release() {
	o.sink.drop()
	o.sink.close()
}

// abort releases an output that was not started.
func (o *output) abort() {
	o.relay.Stop()
	closeAll(o.src)
	o.sink.close()
}

// await waits until what the source has now was moved, and until it was read. It gives
// up after patience in which nothing happened, after limit in any case (somebody may go
// on writing), and when there is no sense in going on.
func (o *output) await(patience, limit time.Duration, sense func() bool) {
	end := time.Now().Add(limit)
	flushed := o.relay.Flush()
	for !within(flushed, 0) {
		moved := o.relay.Moved()
		if !sense() || time.Now().After(end) {
			return
		}
		if !within(flushed, min(patience, time.Until(end))) && o.relay.Moved() == moved {
			return
		}
	}
	o.settle(patience, end, sense)
}

// settle is the second half of await.
func (o *output) settle(patience time.Duration, end time.Time, sense func() bool) {
	unread := o.sink.unread()
	for last := time.Now(); unread > 0 && sense(); {
		now := time.Now()
		if now.Sub(last) > patience || now.After(end) {
			return
		}
		time.Sleep(settlePoll)
		n := o.sink.unread()
		if n < unread {
			last = now
		}
		unread = n
	}
}

// bounded calls f, and leaves it alone when it has not returned after limit; it reports
// whether it has.
func bounded(limit time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return within(done, limit)
}

// within waits until c is closed, for a bounded time, and reports whether it is.
func within(c <-chan struct{}, limit time.Duration) bool {
	select {
	case <-c:
		return true
	default:
	}
	timer := time.NewTimer(max(limit, 0))
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}
