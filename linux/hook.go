// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/sys"
)

// hookProcess is a hook that runs.
type hookProcess interface {
	// wait blocks until the hook has ended. killTree stays possible.
	wait() (sys.Exit, error)
	// killTree sends SIGKILL to the hook and what it started.
	killTree() error
	// close reaps and releases. Precondition: wait has returned.
	close() error
}

// hookStarter starts a hook with those standard streams, which stay the caller's. It
// returns when the hook's program runs; the end of ctx ends a start.
type hookStarter func(ctx context.Context, h *specs.Hook, stdio [3]*os.File) (hookProcess, error)

// runHook runs one hook to its end. An error says what the hook printed.
func runHook(ctx context.Context, h *specs.Hook, state []byte, start hookStarter) (err error) {
	streams, err := newHookStreams()
	if err != nil {
		return err
	}
	defer streams.close()
	limited, cancel := ctx, context.CancelFunc(func() {})
	if h.Timeout != nil {
		limit := time.Duration(*h.Timeout) * time.Second
		limited, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("killed: it ran longer than its timeout of %d s", *h.Timeout))
	}
	defer cancel()
	p, err := start(limited, h, streams.child)
	if err != nil {
		return err
	}
	streams.begin(state)
	fault.Point("hooks.running")
	killed := make(chan struct{})
	stop := context.AfterFunc(limited, func() {
		defer close(killed)
		_ = p.killTree() // or it has ended meanwhile
	})
	exit, err := p.wait()
	late := !stop()
	if late {
		<-killed // before its pid may be another's
	}
	streams.end()
	if err = errors.Join(err, p.close()); err != nil {
		return err
	}
	switch {
	case late && ctx.Err() != nil:
		err = fmt.Errorf("killed: %w", context.Cause(ctx))
	case late:
		err = context.Cause(limited)
	case exit.Signaled:
		err = fmt.Errorf("signal: %s", unix.SignalName(unix.Signal(exit.Status)))
	case exit.Status != 0:
		err = fmt.Errorf("exit status %d", exit.Status)
	default:
		return nil
	}
	return fmt.Errorf("%w, stdout: %q, stderr: %q", err, streams.out.text, streams.errs.text)
}

// hookStreams are the pipes of one hook.
type hookStreams struct {
	child [3]*os.File // the hook's ends, until begin
	own   [3]*os.File
	out   tail
	errs  tail
	done  sync.WaitGroup
}

func newHookStreams() (_ *hookStreams, err error) {
	s := &hookStreams{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for i := range s.own {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		s.own[i], s.child[i] = r, w
		if i == 0 {
			s.own[i], s.child[i] = w, r
		}
		// Go's own pipes do not block, which a hook does not expect.
		err = sys.Control(s.child[i], func(fd int) error { return os.NewSyscallError("fcntl", unix.SetNonblock(fd, false)) })
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// begin gives up the hook's ends, which it has by now, and starts to serve ours.
func (s *hookStreams) begin(state []byte) {
	closeAll(s.child[:])
	s.done.Go(func() {
		_, _ = s.own[0].Write(state) // a hook need not read it
		_ = s.own[0].Close()
	})
	s.done.Go(func() { s.out.readFrom(s.own[1]) })
	s.done.Go(func() { s.errs.readFrom(s.own[2]) })
}

// hookDrain is how long the output of a hook that has ended is waited for: what
// it left in the pipes is there at once, and a process in the background may
// never close them.
const hookDrain = 50 * time.Millisecond

// end waits for the last output.
func (s *hookStreams) end() {
	limit := time.Now().Add(hookDrain)
	for _, f := range s.own {
		_ = f.SetDeadline(limit) // already closed, or a pipe
	}
	s.done.Wait()
}

func (s *hookStreams) close() {
	closeAll(s.own[:])
	closeAll(s.child[:])
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

// tailLen bounds what an error tells of a hook's output, in bytes a stream.
const tailLen = 2 << 10

// readFrom reads f to its end, or its deadline. After that what is in the pipe is
// read nevertheless: on a busy machine nobody may have come to it in time.
func (t *tail) readFrom(f *os.File) {
	buf := make([]byte, tailLen)
	for {
		n, err := f.Read(buf)
		t.add(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return
		}
	}
	_ = sys.Control(f, func(fd int) error {
		for range pipeSize / len(buf) { // somebody may go on writing
			n, err := unix.Read(fd, buf)
			if n <= 0 {
				return err
			}
			t.add(buf[:n])
		}
		return nil
	})
}

// pipeSize is what a pipe holds at most (pipe(7)).
const pipeSize = 64 << 10

func (t *tail) add(text []byte) {
	t.text = append(t.text, text...)
	t.text = t.text[max(0, len(t.text)-tailLen):]
}
