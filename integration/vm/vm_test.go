// SPDX-License-Identifier: Apache-2.0

// Package vm has no Go but this: tests of the scripts beside it, with a shell script
// in QEMU's place. A verdict must not be lost, and nothing be left, however a machine ends.
package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
)

// qemu takes the part of QEMU and of the machine: it says that the command started, what
// the command says, and then what is added here.
const qemu = `#!/bin/bash
for a; do
	case $a in
	file,id=rc,path=*) rc=${a#*path=} ;;
	file,id=out,path=*) out=${a#*path=} ;;
	esac
done
echo $$ >"$PID"
echo start 1.0 >>"$rc"
echo "=== RUN   TestX" >>"$out"
`

// machine is `run` with a machine that goes on as the script says.
type machine struct {
	cmd    *exec.Cmd
	output strings.Builder
	dir    string
}

func start(t *testing.T, limit, script string) *machine {
	t.Helper()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		testenv.Unavailable(t, "%v", err)
	}
	m := &machine{dir: t.TempDir()}
	for name, text := range map[string]string{".complete": "", "kernels": "6.1.0\n", "qemu": qemu + script} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(m.dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.cmd = exec.Command("./run", "-t", limit, "true")
	m.cmd.Env = append(os.Environ(),
		"VM_DIR="+m.dir, "VM_QEMU="+m.dir+"/qemu", "VM_TMP="+m.dir+"/tmp", "PID="+m.dir+"/pid")
	m.cmd.Stdout, m.cmd.Stderr = &m.output, &m.output
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return m
}

// qemu is a pidfd of what takes QEMU's place.
func (m *machine) qemu(t *testing.T) *os.Process {
	t.Helper()
	end := time.Now().Add(testenv.Patience(20 * time.Second))
	for ; time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		data, _ := os.ReadFile(m.dir + "/pid")
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			continue
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Fatalf("qemu did not start: %s", &m.output)
	return nil
}

// ended waits, and says what is wrong with the exit status, with what was said, and
// what is left.
func (m *machine) ended(t *testing.T, status int, says string) {
	t.Helper()
	_ = m.cmd.Wait() // the status is looked at
	if got := m.cmd.ProcessState.ExitCode(); got != status || !strings.Contains(m.output.String(), says) {
		t.Errorf("exit status %d, want %d and %q:\n%s", got, status, says, &m.output)
	}
	left, err := os.ReadDir(m.dir + "/tmp")
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestRunStatus: each end of a machine is told by its status and in words.
func TestRunStatus(t *testing.T) {
	for _, test := range []struct {
		name, script, limit string
		status              int
		says                string
	}{
		{"passed", `echo "end 0 2.0" >>"$rc"`, "60", 0, "=== RUN   TestX"},
		{"failed", `echo "end 3 2.0" >>"$rc"`, "60", 3, "=== RUN   TestX"},
		{"no status", "", "60", 125, "the VM ended (qemu 0) without a status"},
		{"hangs", "exec sleep 1000", "4", 124, "stopped at the limit of 4s (the command was running)"},
		{"never started", `: >"$rc"; exec sleep 1000`, "4", 124, "stopped at the limit of 4s (the command had not started)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			start(t, test.limit, test.script).ended(t, test.status, test.says)
		})
	}
}

// TestRunKilled: a machine that somebody kills is no machine at its limit, and one whose
// run is killed ends with it.
func TestRunKilled(t *testing.T) {
	m := start(t, "1000", "exec sleep 1000")
	if err := m.qemu(t).Kill(); err != nil {
		t.Fatal(err)
	}
	m.ended(t, 125, "the VM ended (qemu 137) without a status")

	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		m := start(t, "1000", "exec sleep 1000")
		p := m.qemu(t)
		if err := m.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		m.ended(t, 128+int(signal), "")
		if err := p.Signal(syscall.Signal(0)); err == nil {
			t.Errorf("after %v qemu runs on", signal)
			_ = p.Kill()
		}
	}
}

// TestGuestClientSuite: the machine is there for the tests that need something.
func TestGuestClientSuite(t *testing.T) {
	for _, test := range []struct {
		name, run, suite string
		status           int
	}{
		{"passed", "", "echo nothing is worse", 0},
		{"worse", "", "echo worse; exit 1", 1},
		{"left out", "", "echo '  -     TestX: left out, needs criu: why'", 1},
		{"left out of a choice", "TestX", "echo '  -     TestX: left out, needs criu: why'", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "clientsuite"), []byte("#!/bin/sh\n"+test.suite), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("bash", "-c", `set -o pipefail; end=9; eval "$(sed -n '/^client_suite()/,/^}/p' guest | sed "s|/[a-z]*/clientsuite|$0|; s|/run/|$0/|")"; client_suite`, dir)
			cmd.Env = append(os.Environ(), "RUN="+test.run, "RUNTIME=x")
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != test.status {
				t.Errorf("exit status %d, want %d: %s", got, test.status, out)
			}
		})
	}
}

// TestGuestVerdict: tests that were skipped, or are not there, have not passed.
func TestGuestVerdict(t *testing.T) {
	const said = "=== RUN   TestA\n=== RUN   TestA/one\n=== RUN   TestA/one/mini\n"
	for _, test := range []struct{ name, call, said, want string }{
		{"passed", "passed", said + "--- PASS: TestA (0.1s)\nPASS\n", ""},
		{"skipped", "passed", said + "--- SKIP: TestA (0.1s)\nPASS\n", "no test passed"},
		{"none", "passed", "testing: warning: no tests to run\nPASS\n", "no test passed"},
		{"named", "named 'TestA/one/mini$|TestA/o'", said, ""},
		{"renamed", "named 'TestA/one|TestB'", said, "no test ran that is called TestB"},
		{"subtest renamed", "named 'TestA/one/mini|TestA/two'", said, "no test ran that is called TestA/two"},
		{"deeper", "named TestA/one/mini/more", said, "no test ran that is called TestA/one/mini/more"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "said")
			if err := os.WriteFile(file, []byte(test.said), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("bash", "-c", `eval "$(sed -n '/^passed()/,/^}/p; /^named()/,/^}/p' guest)"; `+test.call+` "$0"`, file)
			out, err := cmd.CombinedOutput()
			if (err == nil) != (test.want == "") || strings.TrimSpace(string(out)) != test.want {
				t.Errorf("got %q, %v; want %q", out, err, test.want)
			}
		})
	}
}
