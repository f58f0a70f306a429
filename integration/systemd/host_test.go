// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

const (
	mini = "io.containerd.mini.v2"
	runc = "io.containerd.runc.v2"
)

// daemon is the containerd that the tests share, made by the first of them.
var daemon *bed.Daemon

func TestMain(m *testing.M) {
	code := m.Run()
	if daemon != nil {
		if err := daemon.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// host is one test, straight on the machine.
type host struct {
	*testing.T
	ctx context.Context
	d   *bed.Daemon
	n   int
}

// newHost starts containerd. It skips the test where systemd is not the init:
// there nothing may be done to the machine.
func newHost(t *testing.T) *host {
	t.Helper()
	testenv.Root(t)
	testenv.Needs(t, testenv.Systemd(), testenv.Controllers("memory", "cpu", "pids"))
	if !testenv.InVM() {
		t.Skip("not on a machine that is used: run it under `make test-vm`")
	}
	ctx, cancel := context.WithTimeout(bed.Context(context.Background()), testenv.Patience(time.Minute))
	t.Cleanup(cancel)
	if daemon == nil {
		root, err := bed.Root()
		if err == nil {
			daemon, err = bed.Start(ctx, bed.Config{Root: root, ShimDirs: []string{root + "/bin/test"}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	before := len(daemon.Log())
	h := &host{T: t, ctx: ctx, d: daemon}
	t.Cleanup(func() {
		if out := h.systemctl("list-units", "--all", "--plain", "--no-legend", "--failed", "mini-*.scope", "minitest*.scope"); out != "" {
			t.Errorf("units that failed:\n%s", out)
		}
		h.eventually(func() error { // systemd may not have come to it yet
			if files, _ := filepath.Glob("/run/systemd/*/mini-*.scope*"); len(files) > 0 {
				return fmt.Errorf("files of units: %q", files)
			}
			return nil
		})
		if t.Failed() {
			t.Log(daemon.Log()[before:])
		}
	})
	return h
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// container says what to run.
type container struct {
	runtime     string
	path        string // linux.cgroupsPath
	noOption    bool   // without SystemdCgroup
	resources   string // linux.resources, JSON
	annotations map[string]string
	args        []string
	hooks       *specs.Hooks
}

// task is one that runs.
type task struct {
	client.Task
	h    *host
	exit <-chan client.ExitStatus
	out  *output
}

// output is what a task prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

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

// try makes and starts a container.
func (h *host) try(c container) (*task, error) {
	h.Helper()
	return h.run(h.container(c))
}

// container makes a container without a task.
func (h *host) container(c container) client.Container {
	h.Helper()
	h.n++
	id := fmt.Sprintf("%s-%d", strings.ToLower(strings.ReplaceAll(h.Name(), "/", "-")), h.n)
	image, err := h.d.Client.GetImage(h.ctx, bed.Image)
	h.must(err)
	made, err := h.d.Client.NewContainer(h.ctx, id, client.WithImage(image), client.WithNewSnapshot(id, image),
		client.WithRuntime(c.runtime, &runcoptions.Options{SystemdCgroup: !c.noOption}),
		client.WithNewSpec(oci.WithImageConfig(image), oci.WithProcessArgs(c.args...), oci.WithCgroup(c.path), oci.WithAnnotations(c.annotations),
			func(_ context.Context, _ oci.Client, _ *containers.Container, s *specs.Spec) error {
				s.Hooks = c.hooks
				if c.resources == "" {
					return nil
				}
				return json.Unmarshal([]byte(c.resources), s.Linux.Resources)
			}))
	h.must(err)
	h.Cleanup(func() {
		if err := made.Delete(h.ctx, client.WithSnapshotCleanup); err != nil {
			h.Error(err)
		}
	})
	return made
}

// run makes and starts the task of a container. It may be called by any goroutine.
func (h *host) run(made client.Container) (_ *task, err error) {
	t := &task{h: h, out: &output{}}
	if t.Task, err = made.NewTask(h.ctx, cio.NewCreator(cio.WithStreams(nil, t.out, t.out), cio.WithFIFODir(h.d.Dir+"/fifo"))); err != nil {
		return nil, err
	}
	h.Cleanup(func() { _, _ = t.Delete(h.ctx, client.WithProcessKill) }) // the test may have done it
	if t.exit, err = t.Wait(h.ctx); err != nil {
		return nil, err
	}
	return t, t.Start(h.ctx)
}

// start makes and starts a container, which must work.
func (h *host) start(c container) *task {
	h.Helper()
	t, err := h.try(c)
	h.must(err)
	return t
}

// end kills the task, if it still runs, and deletes it; it returns its exit code.
func (t *task) end() uint32 {
	t.h.Helper()
	_ = t.Kill(t.h.ctx, syscall.SIGKILL)
	return t.wait()
}

// wait waits for the task to end by itself, and deletes it; it returns its exit
// code.
func (t *task) wait() uint32 {
	t.h.Helper()
	code, _, err := (<-t.exit).Result()
	t.h.must(err)
	_, err = t.Delete(t.h.ctx)
	t.h.must(err)
	return code
}

// holds compares files of the task's cgroup, given as "file value, file value".
func (t *task) holds(when, cgroup, files string) {
	t.h.Helper()
	for f := range strings.SplitSeq(files, ", ") {
		name, want, _ := strings.Cut(f, " ")
		data, err := os.ReadFile("/sys/fs/cgroup" + cgroup + "/" + name)
		if got := strings.TrimSpace(string(data)); got != want || err != nil {
			t.h.Errorf("%s: %s holds %q, %v; want %q", when, name, got, err, want)
		}
	}
}

// systemctl runs it and returns what it prints.
func (h *host) systemctl(args ...string) string {
	h.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		h.Fatalf("systemctl %s: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// shows compares properties of a unit, given as "Name=value Name=value".
func (h *host) shows(when, unit, properties string) {
	h.Helper()
	want := strings.Fields(properties)
	var names []string
	for _, p := range want {
		name, _, _ := strings.Cut(p, "=")
		names = append(names, name)
	}
	got := strings.Split(h.systemctl("show", "-p", strings.Join(names, ","), unit), "\n")
	for _, p := range want {
		if !slices.Contains(got, p) {
			h.Errorf("%s: %s has %q, want %s", when, unit, got, p)
		}
	}
}

// eventually waits until check has no error.
func (h *host) eventually(check func() error) {
	h.Helper()
	for end := time.Now().Add(testenv.Patience(10 * time.Second)); ; time.Sleep(50 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			h.Fatal(err)
		}
	}
}

// gone waits until systemd knows nothing of the unit, and looks for its cgroup.
func (h *host) gone(unit, cgroup string) {
	h.Helper()
	var got string
	for end := time.Now().Add(testenv.Patience(3 * time.Second)); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = h.systemctl("show", "-p", "LoadState,ActiveState", unit); got == "LoadState=not-found\nActiveState=inactive" {
			break
		}
	}
	if got != "LoadState=not-found\nActiveState=inactive" {
		h.Errorf("%s is still there: %s", unit, got)
	}
	if _, err := os.Stat("/sys/fs/cgroup" + cgroup); !os.IsNotExist(err) {
		h.Errorf("%s: %v, want it gone", cgroup, err)
	}
}
