// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd-mini/mini/linux/sys"
)

// Relay moves bytes from a source to a destination. Its methods may be called from
// any goroutine, before, during and after Run, and do not wait.
type Relay struct {
	poller *poller
	id     int32
	lost   func(error)
	ready  chan struct{} // has one when a file that Run waits for is ready, or there is a request
	stop   chan struct{} // closed by Stop

	moved    atomic.Int64
	stopOnce sync.Once

	mu       sync.Mutex
	requests []chan struct{} // guarded by mu; of Flush, closed by Run
	ended    bool            // guarded by mu
}

// New makes a relay. lost, if it is not nil, is called with the error of a write that
// failed; what was not written is dropped then, and the relay goes on, so that a
// full disk does not stop a container. Else Run ends with the error. It is called for
// the first of several errors in a row.
//
// Run must be called, or Stop.
func New(lost func(error)) (*Relay, error) {
	p, err := shared()
	if err != nil {
		return nil, err
	}
	r := &Relay{poller: p, lost: lost, ready: make(chan struct{}, 1), stop: make(chan struct{})}
	r.id = p.add(r)
	return r, nil
}

// Run moves bytes until the source is at its end, which is no error, or Stop. It makes
// both files non-blocking, and leaves them open; a source or destination that is
// closed meanwhile is an end. src must not be read by others; dst may be written by
// others.
func (r *Relay) Run(src, dst *os.File) error {
	defer r.end()
	if err := errors.Join(sys.SetNonblock(src), sys.SetNonblock(dst)); err != nil {
		return err
	}
	m := newMover(src, dst, r.dropped())
	defer m.close()
	defer r.poller.epoll.Forget(src)
	defer r.poller.epoll.Forget(dst)
	var asked []chan struct{} // by Flush, before what follows was looked at
	defer func() { closeAll(asked) }()
	for !r.stopped() {
		asked = append(asked, r.take()...)
		n, next, err := m.move()
		r.moved.Add(int64(n))
		switch {
		case err != nil:
			return err
		case next == end:
			return nil
		case next == onWriter:
			closeAll(asked)
			asked = nil
			m.idle()
			r.wait(&m, src, sys.EpollIn)
		case next == onReader:
			r.wait(&m, dst, sys.EpollOut)
		default:
			if rest := m.pause(n); rest > 0 {
				m.grow()
				r.sleep(rest)
			}
		}
	}
	return nil
}

// Moved is how many bytes have been moved.
func (r *Relay) Moved() int64 { return r.moved.Load() }

// Flush returns a channel that is closed when all that is in the source now has been
// moved, and at the end of Run.
func (r *Relay) Flush() <-chan struct{} {
	done := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		close(done)
		return done
	}
	r.requests = append(r.requests, done)
	r.wake()
	return done
}

// Stop ends Run, soon, or for good if it was not called.
func (r *Relay) Stop() {
	r.stopOnce.Do(func() { close(r.stop) })
	r.poller.remove(r)
}

func (r *Relay) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// take takes the requests that there are.
func (r *Relay) take() []chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.requests
	r.requests = nil
	return list
}

func (r *Relay) end() {
	r.poller.remove(r)
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	closeAll(r.take())
}

// wake has wait return.
func (r *Relay) wake() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// wait waits until f is ready, or for a request.
func (r *Relay) wait(m *mover, f *os.File, event uint32) {
	var timeout <-chan time.Time
	err := r.poller.epoll.Arm(f, event, r.id)
	switch {
	case errors.Is(err, os.ErrClosed):
		return
	case err != nil: // fs.epoll.max_user_watches (epoll(7))
		timeout = time.After(unarmed)
	case m.grown:
		timer := time.NewTimer(idle)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-r.ready:
		return
	case <-r.stop:
		return
	case <-timeout:
		m.shrink()
	}
	if err == nil {
		select {
		case <-r.ready:
		case <-r.stop:
		}
	}
}

// sleep rests, or until there is a request.
func (r *Relay) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ready:
	case <-r.stop:
	}
}

// dropped is what the mover calls with the outcome of each write: nil when a lost
// write ends the relay.
func (r *Relay) dropped() func(error) {
	if r.lost == nil {
		return nil
	}
	failing := false
	return func(err error) {
		if err != nil && !failing {
			r.lost(err)
		}
		failing = err != nil
	}
}

func closeAll(list []chan struct{}) {
	for _, c := range list {
		close(c)
	}
}

// isEnd reports whether an error means that a side is there no more: the master of a
// terminal that nobody has open reads EIO (tty_ioctl(4) says nothing of it; pty(7)).
func isEnd(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, os.ErrClosed)
}
