// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
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

	requests, answers atomic.Int64

	mu    sync.Mutex
	conns int      // guarded by mu
	files []string // guarded by mu; each stands for a bundle that was there when last seen
	timer *time.Timer
}

// newLife begins with the bundle at path, which is where `start` was called; "" or
// one that is gone by now, as when containerd died beside `start` and its
// successor cleaned up, needs nobody.
func newLife(bundle string, grace time.Duration, connected, abandoned func()) *life {
	l := &life{connected: connected, abandoned: sync.OnceFunc(abandoned), grace: grace}
	if bundle != "" {
		l.keep(bundle)
	}
	l.look(firstLook)
	return l
}

// keep adds a bundle.
func (l *life) keep(bundle string) {
	l.mu.Lock()
	defer l.mu.Unlock()
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

// neededLocked also forgets the bundles that are gone.
func (l *life) neededLocked() bool {
	left := l.files[:0]
	for _, f := range l.files {
		if _, err := os.Lstat(f); err == nil {
			left = append(left, f)
		}
	}
	l.files = left
	return l.conns > 0 || len(l.files) > 0
}

// Handshake lets in who has our user id, and counts. It implements
// ttrpc.Handshaker.
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

// countedConn is a connection of which the life knows. Its server closes it.
type countedConn struct {
	*net.UnixConn
	life *life
	once sync.Once
}

// Write writes an answer, or a part of one.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.UnixConn.Write(p)
	c.life.answers.Add(1)
	return n, err
}

// Close closes the connection and takes it off the count.
func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.life.mu.Lock()
		c.life.conns--
		c.life.mu.Unlock()
		c.life.look(firstLook)
	})
	return c.UnixConn.Close()
}

// awaitAnswers waits until as many answers were written as there were requests,
// at most for the time given. A server of ttrpc takes a connection for idle as
// soon as its handler began, so that its Shutdown would cut off the answer to
// ours.
func (l *life) awaitAnswers(limit time.Duration) {
	for end := time.Now().Add(limit); l.answers.Load() < l.requests.Load() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// intercept wraps a server's interceptor: it counts, and notes the bundle of
// every container that is created here.
func (l *life) intercept(inner ttrpc.UnaryServerInterceptor) ttrpc.UnaryServerInterceptor {
	return func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		l.requests.Add(1)
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
