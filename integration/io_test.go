// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
)

func TestStdin(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(sh("cat; echo end"))
		_, err := io.WriteString(c.stdin, "first\n")
		h.must(err)
		c.expect("first")
		time.Sleep(50 * time.Millisecond)
		if strings.Contains(c.out.String(), "end") {
			t.Error("end of file before CloseIO")
		}
		_, err = io.WriteString(c.stdin, "last, without a newline")
		h.must(err)
		h.must(c.stdin.Close())
		h.must(c.CloseIO(h.ctx, client.WithStdinCloser))
		if code := c.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		c.delete()
		h.equal("stdout", c.out.String(), "first\nlast, without a newlineend\n")
	})
}

// TestLargeOutput has more to say than any pipe holds, on both streams, and no
// newline at the end.
func TestLargeOutput(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const size = 16 << 20
		out, errs, code := h.run(sh(fmt.Sprintf(
			"head -c %d /dev/zero | tr '\\0' e >&2 & head -c %d /dev/zero | tr '\\0' o; wait; printf last", size, size)))
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		if want := strings.Repeat("o", size) + "last"; out != want {
			t.Errorf("stdout: %d bytes, want %d", len(out), len(want))
		}
		if want := strings.Repeat("e", size); errs != want {
			t.Errorf("stderr: %d bytes, want %d", len(errs), len(want))
		}
	})
}

func TestNoLastLineIsLost(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for range 20 {
			if out, _, _ := h.run(sh("echo one; printf two")); out != "one\ntwo" {
				t.Fatalf("stdout %q", out)
			}
		}
	})
}

func TestNoStdio(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		task, err := h.container(sh("cat && echo dropped")).NewTask(h.ctx, cio.NullIO)
		h.must(err)
		exit, err := task.Wait(h.ctx)
		h.must(err)
		h.must(task.Start(h.ctx))
		if code, _, err := (<-exit).Result(); err != nil || code != 0 {
			t.Errorf("exit code %d, %v", code, err)
		}
	})
}

func TestFileStdout(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		path := filepath.Join(t.TempDir(), "log/out")
		c := h.container(sh("echo one; echo two >&2"))
		want := []string{"one", "two", "one", "two"}
		for range 2 { // the second appends
			task, err := c.NewTask(h.ctx, cio.LogFile(path))
			h.must(err)
			exit, err := task.Wait(h.ctx)
			h.must(err)
			h.must(task.Start(h.ctx))
			<-exit
			_, err = task.Delete(h.ctx)
			h.must(err)
		}
		data, err := os.ReadFile(path)
		h.must(err)
		got := strings.Fields(string(data))
		if !h.mini() {
			slices.Sort(got) // runc's shim copies the streams, each at its own pace
			slices.Sort(want)
		}
		h.equal("file", strings.Join(got, " "), strings.Join(want, " "))
	})
}

// logger is a binary:// logger: it says that it is ready, and copies.
const logger = `#!/bin/sh
exec 5>&-
echo "$CONTAINER_NAMESPACE $CONTAINER_ID" >"$1.who"
cat <&3 >"$1.out" &
cat <&4 >"$1.err"
wait
`

func TestBinaryLogger(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir := t.TempDir()
		program := filepath.Join(dir, "logger")
		h.must(os.WriteFile(program, []byte(logger), 0o755))
		log := filepath.Join(dir, "log")
		uri := (&url.URL{Scheme: "binary", Path: program, RawQuery: url.Values{log: {""}}.Encode()}).String()
		c := h.container(sh("echo out; echo err >&2; printf last"))
		task, err := c.NewTask(h.ctx, func(id string) (cio.IO, error) { return cio.LogURI(mustURL(uri))(id) })
		h.must(err)
		exit, err := task.Wait(h.ctx)
		h.must(err)
		h.must(task.Start(h.ctx))
		<-exit
		_, err = task.Delete(h.ctx)
		h.must(err)
		for name, want := range map[string]string{"who": "bed " + c.ID() + "\n", "out": "out\nlast", "err": "err\n"} {
			h.eventually(func() error {
				data, err := os.ReadFile(log + "." + name)
				if err == nil && string(data) != want {
					err = fmt.Errorf("%s: got %q, want %q", name, data, want)
				}
				return err
			})
		}
	})
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// TestReopenedStdio opens what /dev/stdout is, as a user that is not root.
func TestReopenedStdio(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, user := range []string{"0", "1000:1000"} {
			out, errs, code := h.run(oci.WithUser(user), sh("echo out >/dev/stdout; echo err >/dev/stderr"))
			if out != "out\n" || errs != "err\n" || code != 0 {
				t.Errorf("user %s: stdout %q, stderr %q, exit code %d", user, out, errs, code)
			}
		}
	})
}

// TestGrandchildHoldsStdout: an exec ends, what it started does not, and has
// its stdout. The exit must be heard, and Delete must not hang on it.
func TestGrandchildHoldsStdout(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		begin := time.Now()
		p := c.exec(sh("sleep 1000 & echo started"))
		h.must(p.Start(h.ctx))
		if code := p.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if took := time.Since(begin); took > 8*time.Second {
			t.Errorf("the exit was heard after %v", took)
		}
		_, err := p.Delete(h.ctx)
		h.must(err)
		if took := time.Since(begin); h.mini() && took > 8*time.Second {
			t.Errorf("delete took %v", took)
		}
		h.equal("stdout", p.out.String(), "started\n")
		c.kill()
	})
}

// TestReaderGoesAway closes the client's end of the fifos while the container
// writes; it must live on, as when containerd restarts.
func TestReaderGoesAway(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(sh("trap 'exit 6' TERM; echo ready; while :; do echo x; sleep 0.01; done"))
		c.expect("ready")
		c.IO().Cancel()
		c.IO().Close()
		time.Sleep(100 * time.Millisecond)
		h.equal("status", string(c.status()), string(client.Running))
		h.must(c.Kill(h.ctx, syscall.SIGTERM))
		if code := c.wait(); code != 6 {
			t.Errorf("exit code %d, want 6: 141 is a broken pipe", code)
		}
		c.delete()
	})
}

// TestOpenFiles: the container's process has its stdio and nothing else.
func TestOpenFiles(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		p := c.exec(sh("read x"))
		h.must(p.Start(h.ctx))
		for name, pid := range map[string]uint32{"init": c.Pid(), "exec": p.Pid()} {
			stdio := func() error {
				files := h.fds(int(pid))
				for _, f := range files {
					if !strings.HasPrefix(f, "pipe:") && !strings.Contains(f, "/fifo/") {
						return fmt.Errorf("%s has %s open", name, f)
					}
				}
				if len(files) != 3 {
					return fmt.Errorf("%s has %d files open: %q", name, len(files), files)
				}
				return nil
			}
			if !h.mini() {
				h.eventually(stdio) // runc answers before the execve
			}
			h.must(stdio())
		}
		h.must(p.Kill(h.ctx, syscall.SIGKILL))
		p.wait()
		_, err := p.Delete(h.ctx)
		h.must(err)
		c.kill()
	})
}
