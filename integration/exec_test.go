// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// execution is an exec in a task.
type execution struct {
	client.Process
	h         *harness
	stdin     *io.PipeWriter
	out, errs *output
	exit      <-chan client.ExitStatus
}

// exec makes an exec of a process like init's, changed by opts; not started.
func (t *task) exec(opts ...oci.SpecOpts) *execution {
	t.h.Helper()
	e, err := t.tryExec(t.h.newID(), opts...)
	t.h.must(err)
	return e
}

func (t *task) tryExec(id string, opts ...oci.SpecOpts) (*execution, error) {
	s, err := t.c.Spec(t.h.ctx)
	if err != nil {
		return nil, err
	}
	s.Process.Terminal = false
	info, err := t.c.Info(t.h.ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		if err := o(t.h.ctx, t.h.d.Client, &info, s); err != nil {
			return nil, err
		}
	}
	r, w := io.Pipe()
	e := &execution{h: t.h, stdin: w, out: newOutput(), errs: newOutput()}
	streams := []cio.Opt{cio.WithStreams(r, e.out, e.errs)}
	if s.Process.Terminal {
		streams = append(streams, cio.WithTerminal)
	}
	e.Process, err = t.Exec(t.h.ctx, id, s.Process, t.h.streams(streams...))
	if err != nil {
		return nil, err
	}
	e.exit, err = e.Wait(t.h.ctx)
	return e, err
}

// wait returns the exit code, and fails the test when there is none.
func (e *execution) wait() uint32 {
	e.h.Helper()
	select {
	case status := <-e.exit:
		code, _, err := status.Result()
		e.h.must(err)
		return code
	case <-e.h.ctx.Done():
		e.h.Fatalf("no exit of exec %s; stdout %q, stderr %q; log:\n%s", e.ID(), e.out, e.errs, tail(e.h.d.Log()))
		return 0
	}
}

// execs runs an exec to its end and returns what it printed and its exit code.
func (t *task) execs(opts ...oci.SpecOpts) (stdout, stderr string, code uint32) {
	t.h.Helper()
	e := t.exec(opts...)
	t.h.must(e.stdin.Close())
	t.h.must(e.Start(t.h.ctx))
	code = e.wait()
	_, err := e.Delete(t.h.ctx)
	t.h.must(err)
	return e.out.String(), e.errs.String(), code
}

func TestExec(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		out, errs, code := c.execs(sh("echo out; echo err >&2; exit 4"))
		if out != "out\n" || errs != "err\n" || code != 4 {
			t.Errorf("stdout %q, stderr %q, exit code %d", out, errs, code)
		}
		c.kill()
	})
}

// TestExecIdentity gives an exec what init does not have.
func TestExecIdentity(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		script := `id -u; id -g; id -G; pwd; echo $COLOUR; umask; ulimit -n
			grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs)' /proc/self/status | tr -d '\t'`
		out, errs, _ := c.execs(sh(script), spec(func(s *specs.Spec) {
			umask := uint32(0o027)
			s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{2000}, Umask: &umask}
			s.Process.Cwd = "/home/mini"
			s.Process.Env = append(s.Process.Env, "COLOUR=blue")
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 200, Soft: 100}}
			s.Process.NoNewPrivileges = true
			caps := []string{"CAP_NET_BIND_SERVICE"}
			s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps, Inheritable: caps, Ambient: caps}
		}))
		umask := "0027"
		if !h.mini() {
			umask = "0022" // runc has no umask for an exec
		}
		const bind = "0000000000000400"
		want := strings.Join([]string{
			"1000", "1000", "1000 2000", "/home/mini", "blue", umask, "100",
			"CapInh:" + bind, "CapPrm:" + bind, "CapEff:" + bind, "CapBnd:" + bind, "CapAmb:" + bind, "NoNewPrivs:1",
		}, "\n") + "\n"
		h.equal("exec", out+errs, want)
		c.kill()
	})
}

// TestExecThatLeavesOut: what a process leaves out is the container's, as with runc,
// each field by itself and all of them; but rlimits are those of the shim.
func TestExecThatLeavesOut(t *testing.T) {
	const show = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status; ulimit -n; ulimit -Hn; umask; cat /proc/self/oom_score_adj"
	leave := map[string]func(*specs.Process){
		"capabilities": func(p *specs.Process) { p.Capabilities = nil },
		"oomScoreAdj":  func(p *specs.Process) { p.OOMScoreAdj = nil },
		"umask":        func(p *specs.Process) { p.User.Umask = nil },
	}
	each(t, func(t *testing.T, h *harness) {
		c := h.start(sh(show+"; echo ready; read x"), oci.WithCapabilities([]string{"CAP_CHOWN"}), process(func(p *specs.Process) {
			adj, umask := 723, uint32(0o027)
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 123, Hard: 456}}
			p.OOMScoreAdj, p.User.Umask = &adj, &umask
		}))
		c.expect("ready")
		want := strings.TrimSuffix(c.out.String(), "ready\n")
		if !strings.HasSuffix(want, "\n123\n456\n0027\n723\n") {
			t.Errorf("init: %s", want)
		}
		for name, out := range leave {
			got, errs, _ := c.execs(sh(show), process(out))
			h.equal("without "+name+": "+errs, got, want)
		}
		got, errs, _ := c.execs(sh(show), process(func(p *specs.Process) {
			for _, out := range leave {
				out(p)
			}
		}))
		h.equal("without all of them: "+errs, got, want)
		got, errs, _ = c.execs(sh("ulimit -n; ulimit -Hn"), process(func(p *specs.Process) { p.Rlimits = nil }))
		h.equal("without rlimits: "+errs, got, h.prints("ulimit -n; ulimit -Hn", process(func(p *specs.Process) { p.Rlimits = nil }))+"\n")
		c.kill()
	})
}

func TestExecIsInTheNamespaces(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(sh("hostname inner-name; mkdir /tmp/made; echo ready; while :; do sleep 0.05; done"),
			oci.WithAddedCapabilities([]string{"CAP_SYS_ADMIN"}))
		c.expect("ready")
		out, errs, code := c.execs(sh("hostname; test -d /tmp/made && echo made; test $(ps | grep -c ready) -ge 1 && echo seen"))
		if out != "inner-name\nmade\nseen\n" {
			t.Errorf("stdout %q, stderr %q, exit code %d", out, errs, code)
		}
		p := c.exec(sh("read x"))
		h.must(p.Start(h.ctx))
		all := []string{"pid", "mnt", "net", "uts", "ipc", "cgroup", "user"}
		if h.mini() { // an exec's own has the same root (TestExecSeesItsContainersCgroup)
			all = slices.DeleteFunc(all, func(ns string) bool { return ns == "cgroup" })
		}
		for _, ns := range all {
			ours, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p.Pid(), ns))
			h.must(err)
			theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", c.Pid(), ns))
			h.must(err)
			h.equal(ns, ours, theirs)
		}
		h.must(p.stdin.Close())
		h.must(p.CloseIO(h.ctx, client.WithStdinCloser))
		p.wait()
		_, err := p.Delete(h.ctx)
		h.must(err)
		c.kill()
	})
}

func TestExecThatCannotStart(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		for what, process := range map[string]oci.SpecOpts{
			"no such file":      oci.WithProcessArgs("/no/such/file"),
			"not in PATH":       oci.WithProcessArgs("no-such-command"),
			"not executable":    oci.WithProcessArgs("/etc/passwd"),
			"a directory":       oci.WithProcessArgs("/etc"),
			"no such directory": oci.Compose(sh("echo"), oci.WithProcessCwd("/no/such/dir")),
		} {
			if what == "no such directory" && !h.mini() {
				continue // runc makes it
			}
			p := c.exec(process)
			if err := p.Start(h.ctx); err == nil {
				t.Errorf("%s: it starts", what)
			}
			if _, err := p.Delete(h.ctx); err != nil && !errdefs.IsNotFound(err) {
				t.Errorf("%s: delete: %v", what, err)
			}
			h.equal("status of the task", string(c.status()), string(client.Running))
		}
		// The id is free again.
		p, err := c.tryExec("twice", oci.WithProcessArgs("/no/such/file"))
		h.must(err)
		if err := p.Start(h.ctx); err == nil {
			t.Error("it starts")
		}
		_, _ = p.Delete(h.ctx)
		p, err = c.tryExec("twice", sh("exit 0"))
		h.must(err)
		h.must(p.Start(h.ctx))
		p.wait()
		_, err = p.Delete(h.ctx)
		h.must(err)
		c.kill()
	})
}

func TestExecIDs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		p, err := c.tryExec("same", sh("read x"))
		h.must(err)
		if _, err := c.tryExec("same", sh("read x")); !errdefs.IsAlreadyExists(err) {
			t.Errorf("a second exec of the same id: %v, want already exists", err)
		}
		if _, err := c.LoadProcess(h.ctx, "other", nil); !errdefs.IsNotFound(err) {
			t.Errorf("an unknown exec: %v, want not found", err)
		}
		h.must(p.Start(h.ctx))
		h.must(p.Kill(h.ctx, syscall.SIGKILL))
		if code := p.wait(); code != 137 {
			t.Errorf("exit code %d, want 137", code)
		}
		if err := p.Kill(h.ctx, syscall.SIGKILL); !errdefs.IsNotFound(err) {
			t.Errorf("kill of an exec that has ended: %v, want not found", err)
		}
		_, err = p.Delete(h.ctx)
		h.must(err)
		c.kill()
	})
}

func TestExecNotStarted(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		p := c.exec(sh("echo ran"))
		_, err := p.Delete(h.ctx)
		h.must(err)
		h.equal("stdout", p.out.String(), "")
		c.kill()
	})
}

func TestExecInATaskThatDoesNotRun(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		h.must(c.Pause(h.ctx))
		if p, err := c.tryExec("paused", sh("echo")); err == nil {
			if err := p.Start(h.ctx); err == nil {
				t.Error("an exec starts in a paused task")
			}
			_, _ = p.Delete(h.ctx)
		}
		h.must(c.Resume(h.ctx))
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		c.wait()
		if p, err := c.tryExec("stopped", sh("echo")); err == nil {
			if err := p.Start(h.ctx); err == nil {
				t.Error("an exec starts in a stopped task")
			} else if h.mini() && !errdefs.IsFailedPrecondition(err) && !errdefs.IsNotFound(err) {
				t.Errorf("%v; want failed precondition or not found", err)
			}
			_, _ = p.Delete(h.ctx)
		}
		c.delete()
	})
}

// TestExecsEndBeforeInit: when init ends, an exec that runs is ended too, and
// its exit is heard.
func TestExecEndsWithInit(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		p := c.exec(sh("sleep 1000"))
		h.must(p.Start(h.ctx))
		h.must(c.Kill(h.ctx, syscall.SIGKILL))
		if code := p.wait(); code != 137 {
			t.Errorf("exec: exit code %d, want 137", code)
		}
		c.wait()
		_, err := p.Delete(h.ctx)
		h.must(err)
		c.delete()
	})
}

// TestKillOfAnExecEndsItsTree: the shim kills what the exec started with it.
// runc's shim leaves it.
func TestKillOfAnExecEndsItsTree(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		for _, ns := range cgroupNamespaces {
			h.killExecsTree(ns)
		}
	})
}

func (h *harness) killExecsTree(ns oci.SpecOpts) {
	h.Helper()
	c := h.start(forever(), ns)
	c.expect("ready")
	p := c.exec(sh("setsid sleep 7654321 & setsid sleep 7654321 & echo ready; wait"))
	h.must(p.Start(h.ctx))
	h.eventually(func() error {
		if running(h.T, "sleep 7654321") != 2 {
			return fmt.Errorf("not started")
		}
		return nil
	})
	h.must(p.Kill(h.ctx, syscall.SIGKILL))
	p.wait()
	h.eventually(func() error {
		if n := running(h.T, "sleep 7654321"); n > 0 {
			return fmt.Errorf("%d processes of the exec still run", n)
		}
		return nil
	})
	_, err := p.Delete(h.ctx)
	h.must(err)
	h.equal("status", string(c.status()), string(client.Running))
	c.kill()
}

// running counts the processes with those arguments.
func running(t *testing.T, args string) int {
	t.Helper()
	all, err := bed.Processes()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		if p.Args == args && p.State != 'Z' {
			n++
		}
	}
	return n
}

func TestPidsNameTheExec(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		p := c.exec(sh("read x"))
		h.must(p.Start(h.ctx))
		pids, err := c.Pids(h.ctx)
		h.must(err)
		found := false
		for _, info := range pids {
			if info.Pid == p.Pid() {
				found = info.Info != nil && strings.Contains(string(info.Info.GetValue()), p.ID())
			}
		}
		if !found {
			t.Errorf("no exec %s with pid %d among %v", p.ID(), p.Pid(), pids)
		}
		h.must(p.Kill(h.ctx, syscall.SIGKILL))
		p.wait()
		_, err = p.Delete(h.ctx)
		h.must(err)
		c.kill()
	})
}

// TestManyExecs: a hundred execs one after another leave no file open in the
// shim and no process, and need few cgroups.
func TestManyExecs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		shim := c.shim()
		c.execs(sh("exit 0")) // what is made once
		before := len(h.fds(shim))
		groups := map[string]bool{}
		for i := range 100 {
			if _, _, code := c.execs(sh(fmt.Sprintf("exit %d", i%10))); code != uint32(i%10) {
				t.Fatalf("exec %d: exit code %d", i, code)
			}
			now, err := bed.Cgroups()
			h.must(err)
			for _, g := range now {
				groups[g] = true
			}
		}
		var after []string
		h.eventually(func() error {
			if after = h.fds(shim); len(after) > before+h.slack() {
				return fmt.Errorf("the shim had %d files open and has %d: %q", before, len(after), after)
			}
			return nil
		})
		if len(groups) > 12 {
			t.Errorf("%d cgroups were seen: %v", len(groups), groups)
		}
		c.kill()
	})
}

func TestParallelExecs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		var all []*execution
		for range 16 {
			all = append(all, c.exec(sh("echo $$ >/dev/null; exit 3")))
		}
		errs := make(chan error, len(all))
		for _, p := range all {
			go func() { errs <- p.Start(h.ctx) }()
		}
		for range all {
			h.must(<-errs)
		}
		for _, p := range all {
			if code := p.wait(); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
			_, err := p.Delete(h.ctx)
			h.must(err)
		}
		c.kill()
	})
}

// TestExecTime fails when an exec takes so long that something must wait in
// it for a timeout. The benchmarks have the figures.
func TestExecTime(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		quickest := time.Hour
		for range 10 {
			begin := time.Now()
			c.execs(sh("exit 0"))
			quickest = min(quickest, time.Since(begin))
		}
		if quickest > testenv.Patience(200*time.Millisecond) {
			t.Errorf("the quickest of 10 execs took %v", quickest)
		}
		c.kill()
	})
}

// TestExecAfterOneThatWasKilled, as after a probe that took too long.
func TestExecAfterOneThatWasKilled(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		for range 3 {
			p := c.exec(sh("sleep 1000"))
			h.must(p.Start(h.ctx))
			h.must(p.Kill(h.ctx, syscall.SIGKILL))
			if code := p.wait(); code != 137 {
				t.Errorf("exit code %d, want 137", code)
			}
			_, err := p.Delete(h.ctx)
			h.must(err)
			out, _, code := c.execs(sh("echo in"))
			h.equal("the next exec", fmt.Sprintln(out, code), "in\n 0\n")
		}
		c.kill()
	})
}

func TestCtrExec(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		ctx, cancel := context.WithTimeout(h.ctx, 20*time.Second)
		defer cancel()
		out, err := h.d.Ctr(ctx, "task", "exec", "--fifo-dir", h.d.Dir+"/fifo", "--exec-id", "ctr", c.ID(), "sh", "-c", "echo in; exit 5")
		if err == nil || !strings.Contains(err.Error(), "exit status 5") {
			t.Errorf("%v; want exit status 5", err)
		}
		h.equal("output", out, "in\n")
		c.kill()
	})
}
