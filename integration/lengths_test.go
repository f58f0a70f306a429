// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	client "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
)

// longPath is a PATH of many directories; only the last is there.
func longPath(entries int) oci.SpecOpts {
	var path strings.Builder
	for i := range entries {
		fmt.Fprintf(&path, "/none/%d:", i)
	}
	return oci.WithEnv([]string{"PATH=" + path.String() + "/bin"})
}

// TestLongPath: a command is found behind many directories that do not have it, by init
// and by an exec.
func TestLongPath(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		found := oci.WithProcessArgs("sh", "-c", "echo found")
		out, stderr, code := h.run(longPath(10_000), found)
		if out != "found\n" || code != 0 {
			t.Errorf("got %q, %.200q, exit %d", out, stderr, code)
		}
		_, err := h.container(longPath(10_000), oci.WithProcessArgs("no-such-command")).NewTask(h.ctx, cio.NullIO)
		if err == nil || !strings.Contains(err.Error(), "executable file not found in $PATH") {
			t.Errorf("got %.300v", err)
		}
	})
}

// TestAttackLongPath: who has the longest PATH that there is does not stop the other
// containers of the shim. With a search for each label of the child's program, 10,000
// entries took 30 s of CPU and the execs of the others waited for them.
func TestAttackLongPath(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		group := h.pod()
		other := h.start(group, forever())
		other.expect("ready")
		shim := other.shim()
		before := cpuTime(h, shim)
		done := make(chan error)
		go func() {
			for range 3 {
				task, err := h.container(group, longPath(10_000), oci.WithProcessArgs("sh")).NewTask(h.ctx, cio.NullIO)
				if err == nil {
					_, err = task.Delete(h.ctx, client.WithProcessKill)
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		var longest time.Duration
		for running, execs := true, 0; running; execs++ {
			begun := time.Now()
			other.execs(sh("true"))
			longest = max(longest, time.Since(begun))
			select {
			case err := <-done:
				h.must(err)
				running = false
				t.Logf("%d execs meanwhile, the longest took %v", execs+1, longest)
			default:
			}
		}
		used := cpuTime(h, shim) - before
		t.Logf("the shim took %v of CPU", used)
		if used > 10*time.Second {
			t.Errorf("the shim took %v of CPU", used)
		}
	})
}

// TestTooLongIsRefused: what the kernel would refuse at Start, or without saying what it
// is about, is refused at Create, by name.
func TestTooLongIsRefused(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		for field, opt := range map[string]oci.SpecOpts{
			"process.env[":                oci.WithEnv([]string{"V=" + strings.Repeat("x", 128<<10)}),
			"process.args[2]":             oci.WithProcessArgs("sh", "-c", strings.Repeat(" ", 128<<10)),
			"process.user.additionalGids": manyGroups(65537),
		} {
			_, err := h.container(opt).NewTask(h.ctx, cio.NullIO)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), field) {
				t.Errorf("%s: %.300v", field, err)
			}
		}
		out, stderr, code := h.run(manyGroups(65536), sh("id -G | wc -w"))
		if out != "65536\n" && out != "65537\n" || code != 0 {
			t.Errorf("the most groups: %q, %.200q, exit %d", out, stderr, code)
		}
	})
}

// manyGroups is a list of n groups.
func manyGroups(n int) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		s.Process.User.AdditionalGids = nil
		for gid := range n {
			s.Process.User.AdditionalGids = append(s.Process.User.AdditionalGids, uint32(gid))
		}
		return nil
	}
}

// cpuTime is what a process has used, itself: fields 14 and 15 of proc_pid_stat(5), in
// ticks of a hundredth of a second.
func cpuTime(h *harness, pid int) time.Duration {
	h.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	h.must(err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		h.must(err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
