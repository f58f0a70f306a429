// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	task "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"

	"github.com/containerd-mini/mini/linux/host"
)

// graceTime is how long a shim may seem abandoned: `start` of a container that
// joins the group has asked us a moment ago, and containerd is about to connect.
const graceTime = 5 * time.Second

// While nobody is connected, the bundles are looked at: after firstLook, and then
// after twice the time each time, up to lastLook. inotify(7) would tell at once, but
// a user has 128 instances of it (fs.inotify.max_user_instances), fewer than a node
// may have shims.
const (
	firstLook = time.Second
	lastLook  = 16 * time.Second
)

// life knows who still needs the shim: the connections to it and the bundles it
// was given.
type life struct {
	connected func()        // called at each new connection
	abandoned func()        // called when nobody needs us any more, once
	grace     time.Duration // how long a shim may seem abandoned

	mu       sync.Mutex
	conns    int           // guarded by mu
	pending  int           // guarded by mu; requests on all connections without a whole answer
	answered chan struct{} // guarded by mu; closed when pending gets 0, nil while nobody waits
	files    []string      // guarded by mu; each stands for a bundle that was there when last seen
	enough   int           // guarded by mu; how many files there may be before they are looked at
	timer    *time.Timer
}

// manyBundles are more than most groups have.
const manyBundles = 16

// newLife begins with the bundle at path, which is where `start` was called. An empty
// path, or a bundle that has vanished, does not keep the shim alive: containerd died
// beside `start` and its successor cleaned up.
func newLife(bundle string, grace time.Duration, connected, abandoned func()) *life {
	l := &life{connected: connected, abandoned: sync.OnceFunc(abandoned), grace: grace}
	if bundle != "" {
		l.keep(bundle)
	}
	l.look(firstLook)
	return l
}

// keep adds a bundle. Now and then it forgets those that are gone: a pod that lives
// for long may have had any number.
func (l *life) keep(bundle string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) >= l.enough {
		l.forgetLocked()
		l.enough = max(manyBundles, 2*len(l.files))
	}
	l.files = append(l.files, filepath.Join(bundle, "config.json"))
}

// look looks again after the pause where only bundles need us, and starts the grace
// time where nobody does.
func (l *life) look(pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	switch {
	case l.conns > 0: // whose end we see
	case l.neededLocked():
		l.timer = time.AfterFunc(pause, func() { l.look(min(2*pause, lastLook)) })
	default:
		l.timer = time.AfterFunc(l.grace, l.giveUp)
	}
}

func (l *life) giveUp() {
	l.mu.Lock()
	needed := l.neededLocked()
	l.mu.Unlock()
	if !needed {
		l.abandoned()
	}
}

// neededLocked reports whether there is a connection or a bundle.
func (l *life) neededLocked() bool {
	l.forgetLocked()
	return l.conns > 0 || len(l.files) > 0
}

// forgetLocked forgets the bundles that are gone.
func (l *life) forgetLocked() {
	left := l.files[:0]
	for _, f := range l.files {
		if _, err := os.Lstat(f); err == nil {
			left = append(left, f)
		}
	}
	clear(l.files[len(left):])
	l.files = left
}

// Handshake accepts only peers with our user id, and counts the connection. It
// implements ttrpc.Handshaker.
func (l *life) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil, &net.OpError{Op: "accept", Net: "unix", Err: os.ErrInvalid}
	}
	if err := host.CheckPeer(unix); err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	l.conns++
	l.mu.Unlock()
	l.connected()
	return &countedConn{UnixConn: unix, life: l}, nil, nil
}

// count notes requests that a connection brought and answers that it took.
func (l *life) count(c *countedConn, requests, answers int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.closed {
		return
	}
	c.pending += requests - answers
	l.addPendingLocked(requests - answers)
}

// disconnected takes a connection off the count, once, with the requests that will
// not be answered any more.
func (l *life) disconnected(c *countedConn) {
	l.mu.Lock()
	first := !c.closed
	if first {
		c.closed = true
		l.conns--
		l.addPendingLocked(-c.pending)
	}
	l.mu.Unlock()
	if first {
		l.look(firstLook)
	}
}

func (l *life) addPendingLocked(n int) {
	l.pending += n
	if l.pending == 0 && l.answered != nil {
		close(l.answered)
		l.answered = nil
	}
}

// awaitAnswers waits until each request was answered, at most for the time given. A
// server of ttrpc takes a connection for idle as soon as its handler began, so that
// its Shutdown would cut off the answer to ours.
func (l *life) awaitAnswers(limit time.Duration) {
	l.mu.Lock()
	if l.pending == 0 {
		l.mu.Unlock()
		return
	}
	answered := make(chan struct{})
	l.answered = answered
	l.mu.Unlock()
	select {
	case <-answered:
	case <-time.After(limit):
	}
}

// intercept wraps a server's interceptor. It notes the bundle of every container
// that is created here.
func (l *life) intercept(inner ttrpc.UnaryServerInterceptor) ttrpc.UnaryServerInterceptor {
	return func(
		ctx context.Context,
		unmarshal ttrpc.Unmarshaler,
		info *ttrpc.UnaryServerInfo,
		method ttrpc.Method,
	) (any, error) {
		noting := func(req any) error {
			err := unmarshal(req)
			if create, ok := req.(*task.CreateTaskRequest); ok && err == nil {
				l.keep(create.Bundle)
			}
			return err
		}
		return inner(ctx, noting, info, method)
	}
}
