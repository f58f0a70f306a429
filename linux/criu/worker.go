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

// longMessage is longer than any message of criu, in bytes.
const longMessage = 64 << 10

// ErrFailed is criu's answer that it failed; its log has the reason.
var ErrFailed = errors.New("criu failed")

// undoTimeout is how long criu may undo its work before it is killed.
const undoTimeout = 10 * time.Second

// Config says how to start criu.
type Config struct {
	Path string // of the program
	// Start is cmd.Start with the caller's way to supervise its children. wait is
	// called once. Only Path, Args, Env, Dir and ExtraFiles of cmd are set.
	Start func(cmd *exec.Cmd) (wait func() error, err error)
}

// Notification is a message of criu while it works.
type Notification struct {
	Script string     // the event: criu(8), --action-script
	Pid    int        // of the root process, if there is one
	Files  []*os.File // sent along; the receiver closes them
}

// Worker is one criu process, for one request.
type Worker struct {
	cmd  *exec.Cmd
	conn *sys.Conn
	done chan struct{} // closed when the process is reaped
}

// Start starts criu from the calling thread, so that it has this thread's namespaces.
// inherit holds the files of Options.Inherit, which stay the caller's. Do or Close ends it.
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
		_ = wait() // criu's answer says whether it succeeded
	}()
	return w, nil
}

// Pid returns the pid of criu.
func (w *Worker) Pid() int { return w.cmd.Process.Pid }

// Do makes one request, calls notify for each notification, and returns when criu has
// ended. An error of notify or the end of ctx makes criu undo its work. pid is that of the
// process that a restore made.
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
		b, files, err := w.conn.RecvUpTo(longMessage)
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ended without an answer", ErrFailed)
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
		if err := w.send(proceed()); err != nil {
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

// Close ends the conversation and waits for criu's end, for undoTimeout at most: criu may
// have to release processes that it had stopped.
func (w *Worker) Close() {
	_ = w.conn.Close() // it may be closed already
	timer := time.NewTimer(undoTimeout)
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
