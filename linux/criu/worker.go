// SPDX-License-Identifier: Apache-2.0

package criu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/containerd-mini/mini/linux/sys"
)

// ErrFailed is criu's answer that it could not; its log has the reason.
var ErrFailed = errors.New("criu failed")

// giveUp is how long criu may take to undo its work after its request was
// withdrawn, before it is killed.
const giveUp = 10 * time.Second

// Config says how criu is started.
type Config struct {
	Path string // of the program
	// Start is cmd.Start with what the caller does about its children; wait is
	// called once. Path, Args, Env, Dir and ExtraFiles of cmd count.
	Start func(cmd *exec.Cmd) (wait func() error, err error)
}

// Notification is something that criu tells of while it works.
type Notification struct {
	Script string     // what happens: criu(8), --action-script
	Pid    int        // of the root process, where there is one
	Files  []*os.File // that came along; the receiver's
}

// Worker is one criu process, for one request.
type Worker struct {
	cmd  *exec.Cmd
	conn *sys.Conn
	done chan struct{} // closed when the process is reaped
}

// Start starts criu, from the calling thread, whose namespaces it gets. inherit
// are the files of Options.Inherit; they stay the caller's. Do or Close ends it.
func Start(c *Config, inherit ...*os.File) (*Worker, error) {
	conn, end, err := sys.SocketPair()
	if err != nil {
		return nil, err
	}
	defer end.Close()
	cmd := exec.Command(c.Path, "swrk", "3")
	cmd.Dir = "/"
	cmd.ExtraFiles = append([]*os.File{end.File()}, inherit...)
	wait, err := c.Start(cmd)
	if err != nil {
		_ = conn.Close() // nothing was sent
		return nil, fmt.Errorf("start criu: %w", err)
	}
	w := &Worker{cmd: cmd, conn: conn, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		_ = wait() // criu's answer says how it went
	}()
	return w, nil
}

// Pid is criu's own.
func (w *Worker) Pid() int { return w.cmd.Process.Pid }

// Do asks for one thing, calls notify for each notification, and returns when
// criu has ended. An error of notify, or the end of ctx, makes criu take back
// what it did. pid is that of the process that a restore has made.
func (w *Worker) Do(ctx context.Context, kind Kind, o *Options, notify func(*Notification) error) (pid int, err error) {
	r, err := w.ask(ctx, request(kind, o), notify)
	runtime.KeepAlive(o)
	return r.pid, err
}

func (w *Worker) ask(ctx context.Context, m message, notify func(*Notification) error) (response, error) {
	defer w.Close()
	defer context.AfterFunc(ctx, func() { _ = w.conn.Close() })()
	r, err := w.converse(m, notify)
	if ctx.Err() != nil {
		err = fmt.Errorf("ask criu: %w", ctx.Err())
	}
	return r, err
}

func (w *Worker) converse(m message, notify func(*Notification) error) (response, error) {
	if err := w.send(m); err != nil {
		return response{}, err
	}
	for {
		b, files, err := w.conn.RecvLong()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it has ended", ErrFailed)
		}
		if err != nil {
			return response{}, err
		}
		r, err := parseResponse(b)
		r.notify.Files = files
		if err == nil {
			err = r.err()
		}
		if err != nil || r.kind != kindNotify {
			closeAll(files)
			return r, err
		}
		if err := notify(&r.notify); err != nil {
			return response{}, err
		}
		if err := w.send(goOn()); err != nil {
			return response{}, err
		}
	}
}

func (w *Worker) send(m message) error {
	err := w.conn.Send(m)
	if errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("%w: it has ended", ErrFailed)
	}
	if err != nil {
		return fmt.Errorf("ask criu: %w", err)
	}
	return nil
}

// Close ends the conversation and returns when criu has ended, which it is given a
// while for: it may have to give processes back that it had stopped.
func (w *Worker) Close() {
	_ = w.conn.Close() // again is no harm
	timer := time.NewTimer(giveUp)
	defer timer.Stop()
	select {
	case <-w.done:
		return
	case <-timer.C:
	}
	_ = w.cmd.Process.Kill() // it may have ended just now
	<-w.done
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written
	}
}
