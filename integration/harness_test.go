// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// harness is one test on one runtime.
type harness struct {
	*testing.T
	ctx     context.Context
	cancel  context.CancelFunc
	runtime string
	d       *bed.Daemon
	options any // of the runtime, for every container made from now on
	labels  map[string]string
	count   int

	released chan struct{} // closed when a test of fault points lets go
}

// newHarness readies a test. At the test's end, after everything else that it
// asked to be cleaned up, nothing may be left of it.
func newHarness(t *testing.T, runtime string, d *bed.Daemon) *harness {
	t.Helper()
	h := &harness{T: t, runtime: runtime, d: d, cancel: func() {}}
	h.renew()
	t.Cleanup(func() {
		h.cancel()
		left := h.leftovers()
		if len(left) == 0 {
			return
		}
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		if err := d.Purge(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// leftovers are those that the runtime is to blame for.
func (h *harness) leftovers() []string {
	h.Helper()
	left, err := h.d.Leftovers(func(line string) bool {
		// containerd renames a bundle so before it removes it, and does not come
		// back to one when it was killed in between (atomicDelete in
		// core/runtime/v2/bundle.go).
		if strings.HasPrefix(line, "file "+h.d.StateDir()+"/.") {
			return true
		}
		// A shim of runc that was killed, or whose Create failed, or that was
		// found again after a restart, leaves its socket.
		socket, ok := strings.CutPrefix(line, "file "+h.d.SocketDir()+"/")
		if ok && !h.mini() {
			h.must(os.Remove(filepath.Join(h.d.SocketDir(), socket)))
		}
		return ok && !h.mini()
	})
	if err != nil {
		h.Error(err)
	}
	return left
}

// renew gives the test all its time again.
func (h *harness) renew() {
	h.cancel()
	h.ctx, h.cancel = context.WithTimeout(bed.Context(context.Background()), testenv.Patience(testTimeout))
}

func (h *harness) mini() bool { return h.runtime == mini }

// must fails the test on an error.
func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// newID is an id for a container or an exec that no other test has.
func (h *harness) newID() string {
	h.count++
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '#' || r == '_' {
			return '-'
		}
		return r
	}, strings.ToLower(h.Name()))
	if len(name) > 60 {
		name = name[len(name)-60:]
	}
	return strings.Trim(fmt.Sprintf("%s-%d", name, h.count), "-")
}

// container makes a container of the image; opts change its default spec. It
// is deleted at the end of the test, with its task.
func (h *harness) container(opts ...oci.SpecOpts) client.Container {
	h.Helper()
	return h.containerID(h.newID(), opts...)
}

func (h *harness) containerID(id string, opts ...oci.SpecOpts) client.Container {
	h.Helper()
	image, err := h.d.Client.GetImage(h.ctx, bed.Image)
	h.must(err)
	opts = append([]oci.SpecOpts{oci.WithImageConfig(image)}, opts...)
	options := h.options
	if bed.Scopes() {
		opts = append([]oci.SpecOpts{oci.WithCgroup(bed.Slice + ":bed:" + id)}, opts...)
		if options == nil {
			options = &runcoptions.Options{SystemdCgroup: true}
		}
	}
	c, err := h.d.Client.NewContainer(h.ctx, id,
		client.WithImage(image),
		client.WithNewSnapshot(id, image),
		client.WithRuntime(h.runtime, options),
		client.WithContainerLabels(h.labels),
		client.WithNewSpec(opts...))
	h.must(err)
	h.Cleanup(func() { h.remove(id) })
	return c
}

// remove deletes a container and its task, as far as they are still there.
func (h *harness) remove(id string) {
	h.Helper()
	ctx, cancel := context.WithTimeout(bed.Context(context.Background()), testenv.Patience(20*time.Second))
	defer cancel()
	c, err := h.d.Client.LoadContainer(ctx, id)
	if err != nil {
		return // the test deleted it
	}
	if t, err := c.Task(ctx, nil); err == nil {
		if _, err := t.Delete(ctx, client.WithProcessKill); err != nil {
			h.Errorf("delete task %s: %v", id, err)
		}
	}
	if err := c.Delete(ctx, client.WithSnapshotCleanup); err != nil {
		h.Errorf("delete container %s: %v", id, err)
	}
}

// task is a container with its task, and what it prints.
type task struct {
	client.Task
	h         *harness
	c         client.Container
	stdin     *io.PipeWriter
	out, errs *output
	exit      <-chan client.ExitStatus
}

// create makes a container and its task, not started.
func (h *harness) create(opts ...oci.SpecOpts) *task {
	h.Helper()
	t, err := h.tryCreate(h.container(opts...))
	h.must(err)
	return t
}

// tryCreate makes the task of a container, and waits for its end in the
// background.
func (h *harness) tryCreate(c client.Container, opts ...client.NewTaskOpts) (*task, error) {
	r, w := io.Pipe()
	t := &task{h: h, c: c, stdin: w, out: newOutput(), errs: newOutput()}
	var err error
	t.Task, err = c.NewTask(h.ctx, h.streams(cio.WithStreams(r, t.out, t.errs)), opts...)
	if err != nil {
		return nil, err
	}
	t.exit, err = t.Wait(h.ctx)
	return t, err
}

// streams keeps the fifos in the daemon's own directory.
func (h *harness) streams(opts ...cio.Opt) cio.Creator {
	return cio.NewCreator(append(opts, cio.WithFIFODir(h.d.Dir+"/fifo"))...)
}

// start makes a container and its task, and starts it.
func (h *harness) start(opts ...oci.SpecOpts) *task {
	h.Helper()
	t := h.create(opts...)
	h.must(t.Start(h.ctx))
	return t
}

// run runs a container to its end and deletes it; it returns what it printed
// on stdout and stderr, and its exit code.
func (h *harness) run(opts ...oci.SpecOpts) (stdout, stderr string, code uint32) {
	h.Helper()
	t := h.create(opts...)
	h.must(t.stdin.Close())
	h.must(t.Start(h.ctx))
	code = t.wait()
	t.delete()
	return t.out.String(), t.errs.String(), code
}

// prints runs a shell script in a container and returns what it printed; the
// script must succeed.
func (h *harness) prints(script string, opts ...oci.SpecOpts) string {
	h.Helper()
	out, errs, code := h.run(append(opts, sh(script))...)
	for range 3 {
		if h.mini() || out != "" {
			break
		}
		// runc's shim loses the output of a short process now and then.
		out, errs, code = h.run(append(opts, sh(script))...)
	}
	if code != 0 {
		h.Fatalf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	return strings.TrimRight(out, "\n")
}

// sh is a process that runs the script.
func sh(script string) oci.SpecOpts { return oci.WithProcessArgs("sh", "-c", script) }

// forever is a process that does nothing until it is told to end.
func forever() oci.SpecOpts {
	return sh(`trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done`)
}

// wait returns the exit code, and fails the test when there is none.
func (t *task) wait() uint32 {
	t.h.Helper()
	select {
	case status := <-t.exit:
		code, _, err := status.Result()
		t.h.must(err)
		return code
	case <-t.h.ctx.Done():
		t.h.Fatalf("no exit of %s; stdout %q, stderr %q; log:\n%s", t.ID(), t.out, t.errs, tail(t.h.d.Log()))
		return 0
	}
}

// delete deletes the task, then the container.
func (t *task) delete() {
	t.h.Helper()
	_, err := t.Delete(t.h.ctx)
	t.h.must(err)
	t.h.must(t.c.Delete(t.h.ctx, client.WithSnapshotCleanup))
}

// kill kills the task, waits for its end and deletes it with its container.
func (t *task) kill() {
	t.h.Helper()
	t.h.must(t.Kill(t.h.ctx, syscall.SIGKILL))
	t.wait()
	t.delete()
}

// status is the state containerd reports.
func (t *task) status() client.ProcessStatus {
	t.h.Helper()
	s, err := t.Status(t.h.ctx)
	t.h.must(err)
	return s.Status
}

// shim is the pid of the task's shim.
func (t *task) shim() int {
	t.h.Helper()
	all, err := bed.Processes()
	t.h.must(err)
	for _, p := range all {
		if p.Pid == int(t.Pid()) {
			return p.Parent
		}
	}
	t.h.Fatalf("no process %d", t.Pid())
	return 0
}

// output is what a process prints, to be read while it still does.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func newOutput() *output { return &output{} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// expect waits until the text was printed.
func (t *task) expect(text string) {
	t.h.Helper()
	t.h.eventually(func() error {
		if s := t.out.String(); !strings.Contains(s, text) {
			return fmt.Errorf("no %q in stdout %q, stderr %q", text, s, t.errs)
		}
		return nil
	})
}

// pod returns an option for containers that share a shim.
func (h *harness) pod() oci.SpecOpts {
	return oci.WithAnnotations(map[string]string{"io.kubernetes.cri.sandbox-id": h.newID()})
}

// eventually waits until check has no error.
func (h *harness) eventually(check func() error) {
	h.Helper()
	for end := time.Now().Add(testenv.Patience(20 * time.Second)); ; time.Sleep(5 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			h.Fatal(err)
		}
	}
}

// equal compares two texts.
func (h *harness) equal(what, got, want string) {
	h.Helper()
	if got != want {
		h.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}

// fds lists the open files of a process.
func (h *harness) fds(pid int) []string {
	h.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	h.must(err)
	var all []string
	for _, e := range entries {
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil {
			all = append(all, target)
		}
	}
	return all
}

// slack is how many files more a shim may have open after a score of lives or
// execs. runc's shim has pidfds that wait for its garbage collector.
func (h *harness) slack() int {
	if h.mini() {
		return 2
	}
	return 15
}

// tail is the end of a log, without what containerd says of its plugins.
func tail(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(l string) bool {
		return strings.Contains(l, "loading plugin")
	})
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
