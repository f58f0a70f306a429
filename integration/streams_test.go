// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// streamKind is a kind of streams, with what the host reads of them.
type streamKind struct {
	name     string
	io       cio.Creator
	file     string // of the host, that the output goes to; "" for none
	terminal bool
}

// streamKinds are all kinds.
func (h *harness) streamKinds() []streamKind {
	h.Helper()
	dir := h.TempDir()
	program := filepath.Join(dir, "logger")
	h.must(os.WriteFile(program, []byte("#!/bin/sh\nexec 5>&-\ncat <&3 >>\"$1\" &\ncat <&4 >>\"$1\"\nwait\n"), 0o755))
	var kinds []streamKind
	for _, terminal := range []bool{false, true} {
		name := func(kind string) streamKind {
			if terminal {
				kind += " with a terminal"
			}
			return streamKind{name: kind, file: filepath.Join(dir, strings.ReplaceAll(kind, " ", "-")), terminal: terminal}
		}
		fifo, file, binary := name("fifo"), name("file"), name("binary")
		opts := []cio.Opt{cio.WithStreams(strings.NewReader("input\n"), newOutput(), newOutput())}
		uri := &url.URL{Scheme: "binary", Path: program, RawQuery: url.Values{binary.file: {""}}.Encode()}
		fifo.io, file.io, binary.io = h.streams(opts...), cio.LogFile(file.file), cio.LogURI(uri)
		if terminal {
			fifo.io = h.streams(append(opts, cio.WithTerminal)...)
			file.io = cio.TerminalLogURI(&url.URL{Scheme: "file", Path: file.file})
			binary.io = cio.TerminalLogURI(uri)
		}
		fifo.file = ""
		kinds = append(kinds, fifo, binary)
		if h.mini() || !terminal { // runc's shim takes the URI for a path there
			kinds = append(kinds, file)
		}
	}
	return append(kinds, streamKind{name: "null", io: cio.NullIO})
}

func (k streamKind) opts(opts ...oci.SpecOpts) []oci.SpecOpts {
	if k.terminal {
		opts = append(opts, oci.WithTTY)
	}
	return opts
}

// runInit runs a container to its end with streams of that kind.
func (h *harness) runInit(k streamKind, opts ...oci.SpecOpts) {
	h.Helper()
	c := h.container(k.opts(opts...)...)
	task, err := c.NewTask(h.ctx, k.io)
	h.must(err)
	h.finish(k, task)
	_, err = task.Delete(h.ctx)
	h.must(err)
}

// runExec runs an exec to its end with streams of that kind.
func (t *task) runExec(k streamKind, opts ...oci.SpecOpts) {
	h := t.h
	h.Helper()
	s, err := t.c.Spec(h.ctx)
	h.must(err)
	info, err := t.c.Info(h.ctx)
	h.must(err)
	for _, o := range k.opts(opts...) {
		h.must(o(h.ctx, h.d.Client, &info, s))
	}
	s.Process.Terminal = k.terminal
	e, err := t.Exec(h.ctx, h.newID(), s.Process, k.io)
	h.must(err)
	h.finish(k, e)
	_, err = e.Delete(h.ctx)
	h.must(err)
}

// finish starts a process and waits for its end.
func (h *harness) finish(k streamKind, p client.Process) {
	h.Helper()
	exit, err := p.Wait(h.ctx)
	h.must(err)
	h.must(p.Start(h.ctx))
	select {
	case s := <-exit:
		if code, _, err := s.Result(); err != nil || code != 0 {
			h.Errorf("%s: exit code %d, %v", k.name, code, err)
		}
	case <-h.ctx.Done():
		h.Fatalf("%s: no exit", k.name)
	}
}

// TestAttackStreams: root of a container, with the capabilities to open files by their
// handles, gets nowhere by its streams. Not with runc, whose shim gives a container the
// host's /dev/null for a stdin that nobody asked for: its mode would be changed.
func TestAttackStreams(t *testing.T) {
	attacker := program(t, "streams", runtime.GOARCH)
	miniOnly(t, func(t *testing.T, h *harness) {
		h.watchNull()
		dir := t.TempDir()
		base := oci.Compose(bind(attacker, "/streams", "ro"), bind(dir, "/report", "rw"),
			oci.WithAddedCapabilities([]string{"CAP_DAC_READ_SEARCH", "CAP_FSETID"}))
		c := h.start(base, forever())
		c.expect("ready")
		for _, k := range h.streamKinds() {
			if k.file != "" {
				h.must(os.WriteFile(k.file, []byte("an earlier line\n"), 0o640))
			}
			h.runInit(k, base, oci.WithProcessArgs("/streams", "/report/init"))
			c.runExec(k, oci.WithProcessArgs("/streams", "/report/exec"))
			for _, process := range []string{"init", "exec"} {
				h.checkStreams(k.name+", "+process, filepath.Join(dir, process))
			}
			if k.file != "" {
				h.checkLog(k)
			}
		}
		c.kill()
	})
}

// watchNull makes sure that the host's null device is at the end of the test as it is
// now, and repairs it for all who come after.
func (h *harness) watchNull() {
	h.Helper()
	var before, after syscall.Stat_t
	h.must(syscall.Stat(os.DevNull, &before))
	h.Cleanup(func() {
		h.must(syscall.Stat(os.DevNull, &after))
		if before.Mode == after.Mode && before.Uid == after.Uid && before.Gid == after.Gid {
			return
		}
		h.Errorf("the host's null device has mode %o and owner %d, had %o and %d", after.Mode, after.Uid, before.Mode, before.Uid)
		h.must(os.Chown(os.DevNull, int(before.Uid), int(before.Gid)))
		h.must(syscall.Chmod(os.DevNull, before.Mode&0o7777))
	})
}

// checkStreams reads what the attacker found out.
func (h *harness) checkStreams(what, report string) {
	h.Helper()
	data, err := os.ReadFile(report)
	h.must(err)
	h.must(os.Remove(report))
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 5 || f[3] != "false" || f[4] != "<nil>" {
			h.Errorf("%s: %q", what, line)
			continue
		}
		link, fs := f[1], f[2]
		pipe := strings.HasPrefix(link, "pipe:[") && fs == "0x50495045"
		terminal := strings.HasPrefix(link, "/dev/pts/") && fs == "0x1cd1"
		null := link == "/dev/null" && fs == "0x1021994" // the container's own
		if !pipe && !terminal && !null {
			h.Errorf("%s: %q", what, line)
		}
	}
}

// checkLog makes sure that a log has what it had, and the process's own lines.
func (h *harness) checkLog(k streamKind) {
	h.Helper()
	info, err := os.Stat(k.file)
	h.must(err)
	if info.Mode() != 0o640 || info.Sys() == nil {
		h.Errorf("%s: the log has mode %v", k.name, info.Mode())
	}
	h.eventually(func() error { // a logger may lag
		data, err := os.ReadFile(k.file)
		if err != nil {
			return err
		}
		text := string(data)
		if !strings.HasPrefix(text, "an earlier line\n") || strings.Count(text, "before the attack") != 2 || strings.Count(text, "after the attack") != 2 {
			return fmt.Errorf("%s: the log is %q", k.name, text)
		}
		return nil
	})
}

// TestReopenedStdioOfALog: who is not root opens /dev/stdout, whatever it is.
func TestReopenedStdioOfALog(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, k := range h.streamKinds() {
			if k.file == "" || k.terminal {
				continue
			}
			h.runInit(k, oci.WithUser("1000:1000"), sh("echo out >/dev/stdout && echo err >/dev/stderr"))
			h.eventually(func() error {
				data, err := os.ReadFile(k.file)
				if text := string(data); err == nil && (!strings.Contains(text, "out\n") || !strings.Contains(text, "err\n")) {
					err = fmt.Errorf("%s: %q", k.name, text)
				}
				return err
			})
		}
	})
}

// TestOneLogOfTwoNames: stdout and stderr are the same file by a link: one writer, in
// the order of the lines.
func TestOneLogOfTwoNames(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		dir := t.TempDir()
		h.must(os.WriteFile(dir+"/log", nil, 0o600))
		h.must(os.Symlink("log", dir+"/link"))
		config := cio.Config{Stdout: "file://" + dir + "/log", Stderr: "file://" + dir + "/link"}
		h.runInit(streamKind{name: "log", io: func(string) (cio.IO, error) { return unread{config}, nil }},
			sh("for i in $(seq 200); do echo $i; echo $i >&2; done"))
		var want strings.Builder
		for i := range 200 {
			fmt.Fprintf(&want, "%d\n%d\n", i+1, i+1)
		}
		data, err := os.ReadFile(dir + "/log")
		h.must(err)
		h.equal("log", string(data), want.String())
	})
}

// TestTerminalClosedForAMoment: systemd as init closes its console, and opens it again.
func TestTerminalClosedForAMoment(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const script = "exec 0<&- 1>&- 2>&-; sleep 0.5; exec >/dev/%s; seq 1000"
		c := h.startTerminal(sh(fmt.Sprintf(script, "console")))
		if code := c.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		c.delete()
		if n := strings.Count(c.out.String(), "\r\n"); n != 1000 {
			t.Errorf("%d lines", n)
		}
		c = h.start(forever())
		c.expect("ready")
		e := c.exec(sh(fmt.Sprintf("t=$(tty); "+script, "../$t")), oci.WithTTY)
		h.must(e.Start(h.ctx))
		if code := e.wait(); code != 0 {
			t.Errorf("exec: exit code %d", code)
		}
		_, err := e.Delete(h.ctx)
		h.must(err)
		if n := strings.Count(e.out.String(), "\r\n"); n != 1000 {
			t.Errorf("exec: %d lines", n)
		}
		c.kill()
	})
}

// TestExecSyncOfAGrandchild acts as kubelet does with a probe that leaves a process
// behind, which has the exec's output: the exec has ended, which containerd is told at
// once, and its output ends when containerd deletes the exec.
func TestExecSyncOfAGrandchild(t *testing.T) {
	eachHandler(t, func(t *testing.T, k *kubelet) {
		p := k.runPod()
		id := p.start("trap 'exit 0' TERM; while :; do sleep 0.1; done")
		for script, want := range map[string]string{
			"sleep 1000 & echo said": "failed to drain exec process",
			"sleep 1 & echo said":    "",
		} {
			begin := time.Now()
			r, err := k.api.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", script}, Timeout: 20})
			switch {
			case want == "" && (err != nil || string(r.GetStdout()) != "said\n" || r.GetExitCode() != 0):
				t.Errorf("%s: %v, %v", script, r, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%s: after %v: %v, %v; want %q", script, time.Since(begin), r, err, want)
			}
			t.Logf("%s: %v", script, time.Since(begin))
		}
	})
}
