// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
)

// startTerminal is start with a terminal.
func (h *harness) startTerminal(opts ...oci.SpecOpts) *task {
	h.Helper()
	t := h.newTerminal(h.container(append(opts, oci.WithTTY)...))
	h.must(t.Start(h.ctx))
	return t
}

// newTerminal makes a task with a terminal for a container that has none.
func (h *harness) newTerminal(c client.Container, opts ...client.NewTaskOpts) *task {
	h.Helper()
	t, err := h.tryTerminal(c, opts...)
	h.must(err)
	return t
}

// tryTerminal is tryCreate with a terminal.
func (h *harness) tryTerminal(c client.Container, opts ...client.NewTaskOpts) (*task, error) {
	r, w := io.Pipe()
	t := &task{h: h, c: c, stdin: w, out: newOutput(), errs: newOutput()}
	var err error
	t.Task, err = c.NewTask(h.ctx, h.streams(cio.WithStreams(r, t.out, nil), cio.WithTerminal), opts...)
	if err != nil {
		return nil, err
	}
	t.exit, err = t.Wait(h.ctx)
	return t, err
}

func (t *task) types(text string) {
	t.h.Helper()
	_, err := io.WriteString(t.stdin, text)
	t.h.must(err)
}

func TestTerminal(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.startTerminal(sh("tty; test -t 0 -a -t 1 -a -t 2 && echo on a terminal; read x; echo got $x; ls -l /dev/console | cut -c1; exit 6"))
		c.expect("on a terminal")
		c.types("typed\n")
		if code := c.wait(); code != 6 {
			t.Errorf("exit code %d", code)
		}
		c.delete()
		// The terminal echoes, and ends lines with both.
		h.equal("output", c.out.String(), "/dev/pts/0\r\non a terminal\r\ntyped\r\ngot typed\r\nc\r\n")
	})
}

// TestControllingTerminal: what the user types reaches the process as signals.
func TestControllingTerminal(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.startTerminal(sh("trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done"))
		c.expect("ready")
		c.types("\x03")
		if code := c.wait(); code != 9 {
			t.Errorf("exit code %d, want 9; output %q", code, c.out)
		}
		c.delete()
	})
}

func TestResize(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.startTerminal(sh("trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"))
		c.expect("ready")
		h.must(c.Resize(h.ctx, 123, 45))
		c.expect("45 123")
		p := c.exec(sh("trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"), oci.WithTTY)
		h.must(p.Start(h.ctx))
		h.eventually(func() error {
			if !strings.Contains(p.out.String(), "ready") {
				return fmt.Errorf("output %q", p.out)
			}
			return nil
		})
		h.must(p.Resize(h.ctx, 67, 89))
		p.wait()
		_, err := p.Delete(h.ctx)
		h.must(err)
		h.equal("exec", p.out.String(), "ready\r\n89 67\r\n")
		c.kill()
	})
}

func TestConsoleSize(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.startTerminal(sh("stty size"), oci.WithTTYSize(81, 26))
		c.wait()
		c.delete()
		h.equal("output", c.out.String(), "26 81\r\n")
	})
}

func TestLargeTerminalOutput(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const lines = 50000
		c := h.startTerminal(sh(fmt.Sprintf("seq 1 %d", lines)))
		if code := c.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		c.delete()
		got := strings.Split(c.out.String(), "\r\n")
		if len(got) != lines+1 || got[lines-1] != fmt.Sprint(lines) {
			t.Errorf("%d lines, the last of them %q; want %d", len(got)-1, got[max(0, len(got)-2)], lines)
		}
	})
}

// TestTerminalOfAnotherUser: the terminal belongs to the user.
func TestTerminalOfAnotherUser(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.startTerminal(oci.WithUser("1000:1000"), sh("stat -c %u $(tty); echo x >/dev/tty; echo y >/dev/console"))
		if code := c.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		c.delete()
		h.equal("output", c.out.String(), "1000\r\nx\r\ny\r\n")
	})
}

// TestTerminalReaderGoesAway: with nobody reading, the shim must not give the
// process a hang-up.
func TestTerminalReaderGoesAway(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.startTerminal(sh("trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done"))
		c.expect("ready")
		c.IO().Cancel()
		c.IO().Close()
		h.equal("status", string(c.status()), string(client.Running))
		h.must(c.Kill(h.ctx, syscall.SIGTERM))
		if code := c.wait(); code != 6 {
			t.Errorf("exit code %d, want 6", code)
		}
		c.delete()
	})
}

func TestCtrTerminal(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		// It lives until ctr has set the size of the terminal.
		args := append(h.ctrRun(), "--rm", "-t", imageName, h.newID(), "sh", "-c", "'tty; sleep 0.5; exit 8'")
		cmd := h.d.CtrCommand(h.ctx, args...)
		script := fmt.Sprintf("%s %s", cmd.Path, strings.Join(args, " "))
		r, w := io.Pipe() // a keyboard that nobody types on
		defer w.Close()
		cmd.Path, cmd.Args, cmd.Err = "/usr/bin/script", []string{"script", "-qec", script, "/dev/null"}, nil
		stdin, err := cmd.StdinPipe()
		h.must(err)
		go func() { _, _ = io.Copy(stdin, r) }()
		out, err := cmd.CombinedOutput()
		if err == nil || err.Error() != "exit status 8" {
			t.Errorf("%v; want exit status 8", err)
		}
		h.equal("output", strings.TrimSpace(string(out)), "/dev/pts/0")
	})
}

// TestRequestsWhileAnExecStarts: what is asked of an exec that is being started is done
// when it runs; the last size of its terminal is the one that counts.
func TestRequestsWhileAnExecStarts(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, faults string) {
		c := h.start(forever())
		c.expect("ready")
		for _, point := range []string{"exec.streams-open", "exec.cloned", "exec.made"} {
			starting := func(p *execution, asked func()) {
				hold := h.hold(faults, faultPoint{name: point})
				hold.arm()
				done := make(chan error, 1)
				go func() { done <- p.Start(h.ctx) }()
				hold.await(done)
				asked()
				hold.release()
				h.must(<-done)
			}
			p := c.exec(sh("read x; stty size"), oci.WithTTY)
			starting(p, func() {
				h.must(p.Resize(h.ctx, 67, 89))
				h.must(p.Resize(h.ctx, 76, 98))
			})
			_, err := io.WriteString(p.stdin, "\n")
			h.must(err)
			p.wait()
			_, err = p.Delete(h.ctx)
			h.must(err)
			h.equal("terminal at "+point, p.out.String(), "\r\n98 76\r\n")

			p = c.exec(oci.WithProcessArgs("cat"))
			starting(p, func() {
				_, err := io.WriteString(p.stdin, "text")
				h.must(err)
				h.must(p.stdin.Close())
				h.must(p.CloseIO(h.ctx, client.WithStdinCloser))
			})
			h.quick("end of stdin at "+point, func(context.Context) error { p.wait(); return nil })
			_, err = p.Delete(h.ctx)
			h.must(err)
			h.equal("stdin at "+point, p.out.String(), "text")
		}
		c.kill()
	})
}
