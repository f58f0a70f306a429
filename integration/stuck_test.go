// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// stuckMemory is what the shim may have, in kB anonymous, beside streams that are
// stuck.
const stuckMemory = 16 << 10

// streamless makes and starts a task whose streams are fifos that nobody opens.
func (h *harness) streamless(terminal bool, opts ...oci.SpecOpts) *task {
	h.Helper()
	dir := h.TempDir()
	config := cio.Config{Terminal: terminal, Stdin: dir + "/in", Stdout: dir + "/out", Stderr: dir + "/err"}
	for _, f := range []string{config.Stdin, config.Stdout, config.Stderr} {
		h.must(syscall.Mkfifo(f, 0o600))
	}
	if terminal {
		config.Stderr = ""
		opts = append(opts, oci.WithTTY)
	}
	t := &task{h: h, c: h.container(opts...), out: newOutput(), errs: newOutput()}
	var err error
	t.Task, err = t.c.NewTask(h.ctx, func(string) (cio.IO, error) { return unread{config}, nil })
	h.must(err)
	t.exit, err = t.Wait(h.ctx)
	h.must(err)
	h.must(t.Start(h.ctx))
	return t
}

// TestNobodyReads: a process that fills its stdout, or waits for a stdin that
// nobody writes, is killed like any other, and disturbs nobody.
func TestNobodyReads(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) { // runc's shim has a create wait for readers
		for what, terminal := range map[string]bool{"fifos": false, "terminal": true} {
			group := h.pod()
			neighbour := h.start(group, forever())
			neighbour.expect("ready")
			writer, reader := h.streamless(terminal, group, sh("yes")), h.streamless(terminal, group, sh("cat"))
			time.Sleep(300 * time.Millisecond) // the fifo is full
			neighbour.lives("neighbour")
			for _, c := range []*task{writer, reader} {
				c.answers(what)
			}
			if memory := anonymous(h, neighbour.shim()); memory > stuckMemory && os.Getenv("MINI_SHIM") != "race" {
				t.Errorf("%s: the shim has %d kB", what, memory)
			}
			for _, c := range []*task{writer, reader} {
				h.quick(what+": Kill", func(ctx context.Context) error { return c.Kill(ctx, syscall.SIGKILL) })
				h.quick(what+": Wait", func(context.Context) error { c.wait(); return nil })
				neighbour.lives("neighbour of one that ended")
				c.delete() // waits for readers for a while
			}
			neighbour.kill()
		}
	})
}

// TestStoppedLogger: a logger that is stopped reads nothing and ends at no end of
// its input; it is continued and asked to end.
func TestStoppedLogger(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		dir := h.TempDir()
		program := filepath.Join(dir, "logger")
		h.must(os.WriteFile(program, []byte("#!/bin/sh\nexec 5>&-\nexec cat <&3 >\"$1\"\n"), 0o755))
		group := h.pod()
		neighbour := h.start(group, forever())
		neighbour.expect("ready")
		c := &task{h: h, c: h.container(group, sh("while :; do echo line; done")), out: newOutput(), errs: newOutput()}
		var err error
		c.Task, err = c.c.NewTask(h.ctx, cio.LogURI(mustURL("binary://"+program+"?"+filepath.Join(dir, "log"))))
		h.must(err)
		c.exit, err = c.Wait(h.ctx)
		h.must(err)
		h.must(c.Start(h.ctx))
		loggers := h.processes(func(p bed.Process) bool { return p.Parent == neighbour.shim() && strings.HasPrefix(p.Args, "cat") })
		if len(loggers) != 1 {
			t.Fatalf("loggers: %v", loggers)
		}
		h.must(syscall.Kill(loggers[0], syscall.SIGSTOP))
		time.Sleep(100 * time.Millisecond)
		c.answers("container")
		neighbour.lives("neighbour")
		h.quick("Kill", func(ctx context.Context) error { return c.Kill(ctx, syscall.SIGKILL) })
		h.quick("Wait", func(context.Context) error { c.wait(); return nil })
		begin := time.Now()
		c.delete()
		if d := time.Since(begin); d > testenv.Patience(5*time.Second) {
			t.Errorf("the delete took %v", d)
		}
		h.eventually(func() error {
			if err := syscall.Kill(loggers[0], 0); err == nil {
				return fmt.Errorf("the logger lives")
			}
			return nil
		})
		neighbour.kill()
	})
}
