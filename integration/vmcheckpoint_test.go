// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/testenv"
)

// count prints numbers, each once.
func count() oci.SpecOpts {
	return sh("i=0; while :; do i=$((i+1)); echo n$i; sleep 0.05; done")
}

// checkpoint writes a checkpoint to a directory.
func (t *task) checkpoint(dir string, o *options.CheckpointOptions) error {
	_, err := t.Checkpoint(t.h.ctx, checkpointTo(dir, o))
	return err
}

// checkpointTo names the directory for a checkpoint.
func checkpointTo(dir string, o *options.CheckpointOptions) client.CheckpointTaskOpts {
	return func(i *client.CheckpointTaskInfo) error {
		o.ImagePath = dir
		i.Options = o
		return nil
	}
}

// images is a directory for checkpoints.
func (h *harness) images() string {
	h.Helper()
	return filepath.Join(h.TempDir(), "images")
}

// restore makes a task of a checkpoint for a container that has none, and starts
// it.
func (h *harness) restore(c client.Container, dir string) *task {
	h.Helper()
	t, err := h.tryCreate(c, client.WithRestoreImagePath(dir))
	h.must(err)
	h.must(t.Start(h.ctx))
	return t
}

// ended waits for the end that a checkpoint has made, and deletes the task.
func (t *task) ended() {
	t.h.Helper()
	if code := t.wait(); code != 137 {
		t.h.Errorf("exit code %d after a checkpoint, want 137", code)
	}
	_, err := t.Delete(t.h.ctx)
	t.h.must(err)
}

// numbers are those that count has printed in whole lines.
func (t *task) numbers() (list []string) {
	for line := range strings.Lines(t.out.String()) {
		if n, ok := strings.CutSuffix(line, "\n"); ok {
			list = append(list, strings.TrimRight(n, "\r"))
		}
	}
	return list
}

// goesOn makes sure that what now has printed follows on what before has.
func (t *task) goesOn(before *task) {
	t.h.Helper()
	t.h.eventually(func() error {
		if len(t.numbers()) < 3 {
			return fmt.Errorf("stdout %q, stderr %q; before %q", t.out, t.errs, before.out)
		}
		return nil
	})
	for i, n := range append(before.numbers(), t.numbers()...) {
		if want := fmt.Sprintf("n%d", i+1); n != want {
			t.h.Fatalf("%s in place of %s: before %q, after %q", n, want, before.out, t.out)
		}
	}
}

func TestVMCheckpointRestore(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	each(t, func(t *testing.T, h *harness) {
		c, dir := h.start(count()), h.images()
		c.expect("n3\n")
		h.must(c.checkpoint(dir, &options.CheckpointOptions{Exit: true}))
		c.ended()

		r, err := h.tryCreate(c.c, client.WithRestoreImagePath(dir))
		h.must(err)
		if s, pid := r.status(), r.Pid(); s != client.Created || pid != 0 {
			t.Errorf("%s with pid %d before Start", s, pid)
		}
		if err := r.Kill(h.ctx, 15); !errdefs.IsNotFound(err) {
			t.Errorf("kill before Start: got %v", err)
		}
		h.must(r.Start(h.ctx))
		r.goesOn(c)
		if h.mini() {
			r.shim() // its parent, or there is none
		}
		out, _, _ := r.execs(sh("echo from an exec"))
		h.equal("exec", out, "from an exec\n")
		h.must(r.Pause(h.ctx))
		h.must(r.Resume(h.ctx))
		r.kill()
	})
}

// TestVMCheckpointOfARestored: a restored container is like any other.
func TestVMCheckpointOfARestored(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		c, dir := h.start(count()), h.TempDir()
		c.expect("n3\n")
		h.must(c.checkpoint(dir+"/1", &options.CheckpointOptions{Exit: true}))
		c.ended()
		r := h.restore(c.c, dir+"/1")
		r.goesOn(c)
		h.must(r.checkpoint(dir+"/2", &options.CheckpointOptions{Exit: true}))
		r.ended()
		again := h.restore(c.c, dir+"/2")
		before := &task{h: h, out: newOutput()}
		fmt.Fprintf(before.out, "%s%s", c.out, r.out)
		again.goesOn(before)
		again.kill()
	})
}

// TestVMCheckpointLeavesRunning: with no options at all, and as it was.
func TestVMCheckpointLeavesRunning(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		c := h.start(count())
		c.expect("n3\n")
		image, err := c.Checkpoint(h.ctx)
		h.must(err)
		h.must(h.d.Client.ImageService().Delete(h.ctx, image.Name()))
		if s := c.status(); s != client.Running {
			t.Errorf("%s after a checkpoint", s)
		}
		h.must(c.Pause(h.ctx))
		h.must(c.checkpoint(h.images(), &options.CheckpointOptions{}))
		if s := c.status(); s != client.Paused {
			t.Errorf("%s after a checkpoint of a paused one", s)
		}
		h.must(c.Resume(h.ctx))
		last := c.numbers()[len(c.numbers())-1]
		h.eventually(func() error {
			if now := c.numbers(); now[len(now)-1] == last {
				return fmt.Errorf("nothing after %s", last)
			}
			return nil
		})
		c.kill()
	})
}

func TestVMCheckpointTerminal(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		c, dir := h.startTerminal(sh("echo ready; read x; echo got $x; tty")), h.images()
		c.expect("ready")
		h.must(c.checkpoint(dir, &options.CheckpointOptions{Exit: true, Terminal: true}))
		c.ended()
		r := h.newTerminal(c.c, client.WithRestoreImagePath(dir))
		h.must(r.Start(h.ctx))
		r.types("typed\n")
		if code := r.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		r.delete()
		h.equal("output", r.out.String(), "typed\r\ngot typed\r\n/dev/pts/0\r\n")
		if !h.mini() {
			return
		}
		// Neither can stand for the other.
		if err := h.restoreRefused(dir); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("a checkpoint with a terminal for a container without: %v", err)
		}
	})
}

// restoreRefused tries to start a new container of a checkpoint that does not fit
// it, and makes sure that it can be deleted.
func (h *harness) restoreRefused(dir string, opts ...oci.SpecOpts) error {
	h.Helper()
	t, err := h.tryCreate(h.container(append([]oci.SpecOpts{forever()}, opts...)...), client.WithRestoreImagePath(dir))
	if err != nil {
		return err
	}
	err = t.Start(h.ctx)
	if s := t.status(); s != client.Created {
		h.Errorf("%s after a restore that failed", s)
	}
	t.delete()
	return err
}

// TestVMCheckpointIntoOtherStreams: a container is restored with streams of another kind
// than it had. What was a pipe is what is asked for; what was the null device stays one.
func TestVMCheckpointIntoOtherStreams(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		dir := h.TempDir()
		log := filepath.Join(dir, "log")
		null := streamKind{name: "null", io: cio.NullIO}
		fifo := streamKind{name: "fifo", io: h.streams(cio.WithStreams(strings.NewReader(""), newOutput(), newOutput()))}
		file := streamKind{name: "file", io: cio.LogFile(log)}
		c := h.container(sh("trap 'echo ended; exit 5' TERM; while :; do sleep 0.1; done"))
		for i, kind := range []streamKind{null, fifo} {
			images := filepath.Join(dir, kind.name)
			h.checkpointOnce(c, kind, images)
			for _, other := range []streamKind{null, fifo, file} {
				task, err := c.NewTask(h.ctx, other.io, client.WithRestoreImagePath(images))
				h.must(err)
				exit, err := task.Wait(h.ctx)
				h.must(err)
				h.must(task.Start(h.ctx))
				h.must(task.Kill(h.ctx, 15))
				if code := (<-exit).ExitCode(); code != 5 {
					t.Errorf("%s into %s: exit code %d", kind.name, other.name, code)
				}
				_, err = task.Delete(h.ctx)
				h.must(err)
			}
			data, err := os.ReadFile(log)
			h.must(err)
			h.equal("log", string(data), []string{"", "ended\n"}[i])
		}
	})
}

// checkpointOnce runs a task with streams of that kind for a checkpoint.
func (h *harness) checkpointOnce(c client.Container, kind streamKind, images string) {
	h.Helper()
	task, err := c.NewTask(h.ctx, kind.io)
	h.must(err)
	exit, err := task.Wait(h.ctx)
	h.must(err)
	h.must(task.Start(h.ctx))
	time.Sleep(testenv.Patience(100 * time.Millisecond)) // the trap
	_, err = task.Checkpoint(h.ctx, checkpointTo(images, &options.CheckpointOptions{Exit: true}))
	h.must(err)
	<-exit
	_, err = task.Delete(h.ctx)
	h.must(err)
}
