// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// ctr runs containerd's ctr, which has to succeed, and returns what it printed.
func (h *harness) ctr(args ...string) string {
	h.Helper()
	out, err := h.d.Ctr(h.ctx, args...)
	if err != nil {
		h.Fatalf("%v: %s", err, out)
	}
	return out
}

// containsLine looks for a line with all the texts.
func containsLine(text string, want ...string) error {
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(line, w) }) {
			return nil
		}
	}
	return fmt.Errorf("no line with %q in %q", want, text)
}

// TestCtrLife: a whole life by the commands of ctr, which is of containerd's own
// release.
func TestCtrLife(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		id, fifos := h.newID(), []string{"--fifo-dir", h.d.Dir + "/fifo"}
		h.Cleanup(func() { h.remove(id) })
		h.ctr(append(h.ctrRun(), "--detach", imageName, id, "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done")...)
		state := func(want string) {
			h.Helper()
			h.eventually(func() error { return containsLine(h.ctr("task", "ls"), id, want) })
		}
		state("RUNNING")
		out := h.ctr(append(append([]string{"task", "exec"}, fifos...), "--exec-id", "look", id, "sh", "-c", "echo in; sleep 0.1")...)
		h.equal("exec", out, "in\n")
		h.ctr("task", "pause", id)
		state("PAUSED")
		h.ctr("task", "resume", id)
		state("RUNNING")
		if out := h.ctr("task", "ps", id); len(strings.Split(strings.TrimSpace(out), "\n")) < 2 {
			t.Errorf("task ps shows no process: %q", out)
		}
		// runc's shim before 2.0 shows none without a cpu controller.
		if out := h.ctr("task", "metrics", "--format", "json", id); h.mini() && !strings.Contains(out, "usage_usec") {
			t.Errorf("task metrics shows no CPU time: %q", out)
		}
		h.ctr("task", "kill", "--signal", "TERM", id)
		state("STOPPED")
		h.must(containsLine(h.ctr("container", "info", id), `"Name": "`+h.runtime+`"`))
		h.must(containsLine(h.ctr("task", "delete", id), "exit code 9"))
		h.ctr("container", "delete", id)
		if out := h.ctr("task", "ls", "-q") + h.ctr("container", "ls", "-q"); strings.Contains(out, id) {
			t.Errorf("%s is still there: %q", id, out)
		}
	})
}

// TestCtrConfigPath: ctr passes options as a path.
func TestCtrConfigPath(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		file := t.TempDir() + "/options.toml"
		h.must(os.WriteFile(file, []byte("IoUid = 1000\nIoGid = 1000\n"), 0o600))
		args := append(h.ctrRun(), "--runtime-config-path", file, "--rm", imageName, h.newID(), "stat", "-Lc", "%u:%g", "/proc/self/fd/1")
		h.equal("owner", h.ctr(args...), "0:1000\n") // 0:0 without
	})
}
