// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

func TestHookPlan(t *testing.T) {
	conn, end, err := sys.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer end.Close()
	stdio := [3]*os.File{os.Stdin, os.Stdin, os.Stdin}
	adj := 100
	for name, hp := range map[string]hookPlan{
		"hook-host": {hook: &specs.Hook{Path: "/bin/hook"}, env: []string{"A=1"}, stdio: stdio, dir: "/bundle", files: unix.Rlimit{Cur: 1024, Max: 4096}},
		"hook-container": {hook: &specs.Hook{Path: "/bin/hook", Args: []string{"name", "arg"}}, stdio: stdio, in: &hookPlace{
			root: os.Stdin, init: os.Stdin, proc: os.Stdin, oomScore: &adj, userns: true, joins: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUSER,
		}},
	} {
		golden(t, name, hp.program(fork.NewProgram(), end).Dump())
	}
}

func TestCheckHooks(t *testing.T) {
	for _, c := range []struct {
		hook specs.Hook
		text string // in the error; empty: none
	}{
		{specs.Hook{Path: "/bin/true"}, ""},
		{specs.Hook{Path: "true"}, `hooks.poststop[0].path: "true" is not absolute`},
		{specs.Hook{Path: "/true", Timeout: new(int)}, "hooks.poststop[0].timeout: 0 is not greater than zero"},
		{specs.Hook{Path: "/true", Args: []string{"\x00"}}, "NUL"},
	} {
		err := checkHooks(&specs.Spec{Hooks: &specs.Hooks{Poststop: []specs.Hook{c.hook}}})
		if c.text == "" && err != nil || c.text != "" && (!errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.text)) {
			t.Errorf("%+v: %v, want %q", c.hook, err, c.text)
		}
	}
}

func TestHookState(t *testing.T) {
	h := newHooks("/run/b", "id", &specs.Spec{Annotations: map[string]string{"a/b": "<&>"}})
	got, err := h.stateText(specs.StateCreating, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"ociVersion":%q,"id":"id","status":"creating","pid":7,"bundle":"/run/b","annotations":{"a/b":"<&>"}}`+"\n", specs.Version)
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// runScript runs a script as a hook on the host.
func runScript(t *testing.T, ctx context.Context, script string, state []byte, seconds int) error {
	t.Helper()
	h := &specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin:/usr/bin"}}
	if seconds > 0 {
		h.Timeout = &seconds
	}
	return runHook(ctx, h, state, hookOnHost(t.TempDir()))
}

func TestHookOutcome(t *testing.T) {
	if err := runScript(t, t.Context(), "exit 0", nil, 0); err != nil { // opens what stays open
		t.Fatal(err)
	}
	testenv.NoLeaks(t)
	for script, want := range map[string]string{
		"exit 0":                     "",
		"echo o; echo e >&2":         "",
		"echo o; echo e >&2; exit 3": `exit status 3, stdout: "o\n", stderr: "e\n"`,
		"kill -TERM $$":              `signal: SIGTERM, stdout: "", stderr: ""`,
		"head -c 100000 /dev/zero | tr '\\0' x; exit 1": `exit status 1, stdout: "` + strings.Repeat("x", tailLen) + `", stderr: ""`,
	} {
		// The state is longer than a pipe, and no hook here reads it.
		err := runScript(t, t.Context(), script, make([]byte, 1<<20), 0)
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
			t.Errorf("%s: %.200s, want %.200s", script, got, want)
		}
	}
	if err := runScript(t, t.Context(), `test "$(wc -c)" = 1048576 && test "$(readlink /proc/self/fd/3)" = ""`, make([]byte, 1<<20), 0); err != nil {
		t.Error(err)
	}
	err := runHook(t.Context(), &specs.Hook{Path: "/no/such"}, nil, hookOnHost("/"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing hook: %v", err)
	}
}

// TestHookIsKilled with all that it started, at its timeout or when nobody waits
// for it any more.
func TestHookIsKilled(t *testing.T) {
	testenv.NoLeaks(t)
	pid := filepath.Join(t.TempDir(), "pid")
	script := "sleep 60 & echo $! >" + pid + "; wait"
	gone := func() {
		b, err := os.ReadFile(pid)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(testenv.Patience(5 * time.Second)); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat("/proc/" + strings.TrimSpace(string(b)) + "/fd/0"); err != nil {
				return
			}
			if time.Now().After(end) {
				t.Fatal("the hook's child lives")
			}
		}
	}
	timeout := int(testenv.Patience(time.Second).Seconds()+1) / 2 // time to write the file
	err := runScript(t, t.Context(), script, nil, timeout)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("timeout of %d s", timeout)) {
		t.Errorf("got %v", err)
	}
	gone()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := runScript(t, ctx, script, nil, 60); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	gone()
}

// TestHookInTheBackground does not hold up the container.
func TestHookInTheBackground(t *testing.T) {
	begin, sleeps := time.Now(), testenv.Patience(3*time.Second)
	if err := runScript(t, t.Context(), fmt.Sprintf("sleep %d &", int(sleeps.Seconds())), nil, 0); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > sleeps*2/3 {
		t.Errorf("it took %v", d)
	}
}

// TestHookOutputIsReadLate: on a busy machine the reader may come to what a hook has
// printed only when the time for it is over; a process in the background still has
// the pipe open.
func TestHookOutputIsReadLate(t *testing.T) {
	s, err := newHookStreams()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.child[1].WriteString(strings.Repeat("x", tailLen) + "printed"); err != nil {
		t.Fatal(err)
	}
	if err := s.own[1].SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	s.out.readFrom(s.own[1])
	if out := string(s.out.text); len(out) != tailLen || !strings.HasSuffix(out, "xprinted") {
		t.Errorf("%q", out)
	}
}
