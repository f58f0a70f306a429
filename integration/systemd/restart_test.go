// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// connected reports whether the shim is connected to the bus.
func (t *task) connected() bool {
	t.h.Helper()
	out, err := exec.Command("busctl", "list", "--unique", "--no-legend").CombinedOutput()
	if err != nil {
		t.h.Fatalf("busctl: %v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == strconv.Itoa(t.shim()) {
			return true
		}
	}
	return false
}

// shim is the pid of the task's shim.
func (t *task) shim() int {
	t.h.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.Pid()))
	t.h.must(err)
	pid, err := strconv.Atoi(strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))[1])
	t.h.must(err)
	return pid
}

// TestRestarts: the bus and systemd start anew between the calls, and while they
// are made. A shim keeps no connection that it does not use.
func TestRestarts(t *testing.T) {
	h := newHost(t)
	c := h.start(container{runtime: mini, path: "minitest-a.slice:mini:restarts", args: []string{"sleep", "1000"}, resources: `{"pids":{"limit":9}}`})
	const scope = "/minitest.slice/minitest-a.slice/mini-restarts.scope"
	limit := 10
	h.eventually(func() error { // it keeps the connection for a moment
		limit++
		c.update(fmt.Sprintf(`{"pids":{"limit":%d}}`, limit))
		if !c.connected() {
			return errors.New("the shim is not seen on the bus")
		}
		return nil
	})
	h.eventually(func() error {
		if c.connected() {
			return errors.New("the shim keeps a connection to the bus")
		}
		return nil
	})
	for i, what := range []string{"restart dbus.service", "daemon-reexec"} {
		h.systemctl(strings.Fields(what)...)
		limit := strconv.Itoa(1000 + i)
		c.update(`{"pids":{"limit":` + limit + `}}`)
		c.holds(what, scope, "pids.max "+limit)
		h.shows(what, "mini-restarts.scope", "TasksMax="+limit)
	}
	done := make(chan error, 1)
	go func() {
		var errs []error
		for range 2 {
			out, err := exec.Command("systemctl", "daemon-reexec").CombinedOutput()
			if err != nil {
				errs = append(errs, fmt.Errorf("%w: %s", err, out))
			}
			time.Sleep(100 * time.Millisecond)
		}
		done <- errors.Join(errs...)
	}()
	for n := 2000; ; n++ {
		c.update(fmt.Sprintf(`{"pids":{"limit":%d}}`, n))
		h.start(container{runtime: mini, path: "minitest-a.slice:mini:meanwhile", args: []string{"sleep", "1000"}}).end()
		select {
		case err := <-done:
			h.must(err)
			h.start(container{runtime: mini, path: "minitest-a.slice:mini:meanwhile", args: []string{"sleep", "1000"}}).end()
			h.shows("in the end", "mini-restarts.scope", fmt.Sprintf("TasksMax=%d", n))
			c.end()
			h.gone("mini-restarts.scope", scope)
			return
		default:
		}
	}
}

// TestFrozenSystemd: systemd stands still. What does not need it works, while in the
// same shim an update, a create and a delete wait for systemd; these end when it goes
// on.
func TestFrozenSystemd(t *testing.T) {
	h := newHost(t)
	const scope = "/minitest.slice/minitest-a.slice/mini-frozen.scope"
	pod := func(name string) container {
		return container{
			runtime: mini, path: "minitest-a.slice:mini:" + name, args: []string{"sleep", "1000"}, resources: `{"pids":{"limit":9}}`,
			annotations: map[string]string{"io.kubernetes.cri.sandbox-id": "frozen"},
		}
	}
	c, other, dead := h.start(pod("frozen")), h.start(pod("other")), h.start(pod("dead"))
	if c.shim() != other.shim() || c.shim() != dead.shim() {
		t.Fatal("not in one shim")
	}
	third := h.container(pod("third"))
	h.must(dead.Kill(h.ctx, syscall.SIGKILL))
	<-dead.exit
	freeze := func(state string) { h.must(os.WriteFile("/sys/fs/cgroup/init.scope/cgroup.freeze", []byte(state), 0)) }
	freeze("1")
	defer freeze("0")
	limit := int64(20)
	updated := make(chan error, 1)
	go func() {
		updated <- c.Update(h.ctx, client.WithResources(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}))
	}()
	made, deleted := make(chan error, 1), make(chan error, 1)
	go func() { _, err := h.run(third); made <- err }()
	go func() { _, err := dead.Delete(h.ctx); deleted <- err }()
	time.Sleep(500 * time.Millisecond)
	for what, call := range map[string]func() error{
		"state": func() error { _, err := c.Status(h.ctx); return err },
		"pids":  func() error { _, err := c.Pids(h.ctx); return err },
		"stats": func() error { _, err := c.Metrics(h.ctx); return err },
		"pause": func() error { return errors.Join(c.Pause(h.ctx), c.Resume(h.ctx)) },
		"exec": func() error {
			e, err := c.Exec(h.ctx, "e", &specs.Process{Args: []string{"true"}, Cwd: "/"}, cio.NullIO)
			if err != nil {
				return err
			}
			exit, err := e.Wait(h.ctx)
			if err == nil {
				err = e.Start(h.ctx)
			}
			if err == nil {
				<-exit
				_, err = e.Delete(h.ctx)
			}
			return err
		},
		"kill": func() error {
			err := other.Kill(h.ctx, syscall.SIGKILL)
			<-other.exit
			return err
		},
	} {
		begin := time.Now()
		if err := call(); err != nil || time.Since(begin) > testenv.Patience(2*time.Second) {
			t.Errorf("%s: %v, after %v", what, err, time.Since(begin))
		}
	}
	select {
	case err := <-updated:
		t.Errorf("updated without systemd: %v", err)
	case err := <-made:
		t.Errorf("made without systemd: %v", err)
	default:
	}
	c.holds("the kernel at once", scope, "pids.max 20")
	freeze("0")
	h.must(<-updated)
	h.must(<-made)
	h.must(<-deleted)
	h.shows("thawed", "mini-frozen.scope", "TasksMax=20")
	_, err := other.Delete(h.ctx)
	h.must(err)
	c.end()
	h.gone("mini-frozen.scope", scope)
	h.gone("mini-other.scope", "/minitest.slice/minitest-a.slice/mini-other.scope")
}

// TestFailedScope: one that failed, and that nobody but mini makes systemd forget.
func TestFailedScope(t *testing.T) {
	h := newHost(t)
	const unit, cgroup = "mini-failed.scope", "/minitest.slice/minitest-a.slice/mini-failed.scope"
	// Pid 1 of a container does not end by SIGTERM, which takes too long for systemd.
	start := func() *task {
		return h.start(container{
			runtime: mini, path: "minitest-a.slice:mini:failed", args: []string{"sleep", "1000"},
			annotations: map[string]string{"org.systemd.property.CollectMode": "'inactive'", "org.systemd.property.TimeoutStopUSec": "uint64 100000"},
		})
	}
	fail := func() {
		h.systemctl("stop", "--no-block", unit)
		h.eventually(func() error {
			if state := h.systemctl("show", "-p", "ActiveState", unit); state != "ActiveState=failed" {
				return errors.New(state)
			}
			return nil
		})
	}
	c := start()
	fail()
	<-c.exit
	_, err := c.Delete(h.ctx)
	h.must(err)
	h.gone(unit, cgroup)

	c = start() // likewise, of a shim that is dead
	shim := c.shim()
	h.must(syscall.Kill(shim, syscall.SIGSTOP))
	fail()
	h.must(syscall.Kill(shim, syscall.SIGKILL))
	<-c.exit
	h.gone(unit, cgroup)
}

// TestWithoutTheBus: without the bus systemd is reached all the same; without
// systemd a create says so, and a container that runs can be ended.
func TestWithoutTheBus(t *testing.T) {
	h := newHost(t)
	left := h.start(container{runtime: mini, path: "minitest-a.slice:mini:left", args: []string{"sleep", "1000"}, resources: `{"pids":{"limit":9}}`})
	away := func(socket string) {
		h.must(os.Rename(socket, socket+".away"))
		t.Cleanup(func() { h.must(os.Rename(socket+".away", socket)) })
	}
	away("/run/dbus/system_bus_socket")
	c := h.start(container{runtime: mini, path: "minitest-a.slice:mini:direct", args: []string{"sleep", "1000"}, resources: `{"pids":{"limit":9}}`})
	c.update(`{"pids":{"limit":19}}`)
	h.shows("directly", "mini-direct.scope", "TasksMax=19")
	c.end()
	away("/run/systemd/private")
	_, err := h.try(container{runtime: mini, path: "minitest-a.slice:mini:new", args: []string{"true"}})
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "linux.cgroupsPath") || !strings.Contains(err.Error(), "connect to systemd") {
		t.Errorf("%v", err)
	}
	begin := time.Now()
	left.end()
	if took := time.Since(begin); took > testenv.Patience(5*time.Second) {
		t.Errorf("the end took %v", took)
	}
}
