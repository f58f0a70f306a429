// SPDX-License-Identifier: Apache-2.0

//go:build docker

package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// docker is a dockerd on a containerd of its own, and the command that talks to
// it. DOCKER_DIR of the environment has both: see scripts/docker.
type docker struct {
	*harness
	bin    string
	dir    string
	daemon *exec.Cmd
}

// eachDocker runs the test with Docker on every runtime.
func eachDocker(t *testing.T, test func(t *testing.T, d *docker)) {
	t.Helper()
	testenv.Root(t)
	bin := os.Getenv("DOCKER_DIR")
	if bin == "" {
		t.Fatal("DOCKER_DIR is not set: run `make docker`")
	}
	for _, name := range runtimes() {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(name, "io.containerd."), ".v2"), func(t *testing.T) {
			alone(t, name, func(t *testing.T, h *harness, _ string) {
				d := &docker{harness: h, bin: bin, dir: h.d.Dir + "/docker"}
				h.must(os.Mkdir(d.dir, 0o711))
				h.must(os.WriteFile(d.dir+"/daemon.json", []byte(`{"runtimes": {"mini": {"runtimeType": "io.containerd.mini.v2"}}}`), 0o600))
				d.start()
				// Before the leftovers are looked for: what dockerd leaves is not the runtime's.
				defer d.stop()
				d.do("load", "-i", "../bin/tools/busybox.tar")
				test(t, d)
			})
		})
	}
}

// start starts dockerd and waits until it answers.
func (d *docker) start() {
	d.Helper()
	log, err := os.OpenFile(d.dir+"/log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	d.must(err)
	defer log.Close()
	driver := "cgroupfs"
	if bed.Scopes() {
		driver = "systemd"
	}
	d.daemon = exec.Command(d.bin+"/dockerd",
		"--containerd", d.d.Address(), "--config-file", d.dir+"/daemon.json",
		"--data-root", d.dir+"/root", "--exec-root", d.dir+"/run", "--pidfile", d.dir+"/pid", "--host", "unix://"+d.dir+"/sock",
		"--init-path", d.bin+"/docker-init", "--bridge=none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false",
		"--exec-opt", "native.cgroupdriver="+driver, "--live-restore", "--default-runtime", d.runtimeName())
	d.daemon.Stdout, d.daemon.Stderr = log, log
	// Beside its directory is runc, for a machine without: BuildKit looks for it.
	d.daemon.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":"+d.bin+":"+filepath.Dir(d.bin), "DOCKER_MIN_API_VERSION=1.24")
	d.daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	d.must(d.daemon.Start())
	ready := false
	defer func() {
		if text, _ := os.ReadFile(d.dir + "/log"); !ready {
			d.Logf("dockerd's log:\n%s", tail(string(text)))
		}
	}()
	d.eventually(func() error {
		_, err := d.command("version").Output()
		return err
	})
	ready = true
}

func (d *docker) runtimeName() string {
	if d.mini() {
		return "mini"
	}
	return "runc"
}

func (d *docker) stop() {
	d.Helper()
	for _, id := range strings.Fields(d.try("ps", "-aq").out) {
		d.try("rm", "-f", id)
	}
	d.end()
	if d.Failed() {
		log, _ := os.ReadFile(d.dir + "/log")
		d.Logf("dockerd's log:\n%s", tail(string(log)))
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	d.must(err)
	for line := range strings.Lines(string(mounts)) {
		if place := strings.Fields(line)[1]; strings.HasPrefix(place, d.dir) {
			d.must(syscall.Unmount(place, syscall.MNT_DETACH))
		}
	}
	_ = os.Remove("/sys/fs/cgroup/docker") // the parent of the containers' cgroups
}

// end ends dockerd in order.
func (d *docker) end() {
	d.Helper()
	d.must(d.daemon.Process.Signal(syscall.SIGTERM))
	_ = d.daemon.Wait() // its status is nothing to us
}

func (d *docker) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.ctx, d.bin+"/docker", append([]string{"--host", "unix://" + d.dir + "/sock"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+d.dir, "DOCKER_API_VERSION="+os.Getenv("DOCKER_API_VERSION"))
	return cmd
}

// result is what a docker command printed and returned.
type result struct {
	out, errs string
	code      int
}

func (d *docker) try(args ...string) result {
	d.Helper()
	cmd := d.command(args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	r := result{out: string(out), errs: errs.String()}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		r.code = exit.ExitCode()
	} else {
		d.must(err)
	}
	return r
}

// do runs a docker command that has to succeed, and returns what it printed.
func (d *docker) do(args ...string) string {
	d.Helper()
	r := d.try(args...)
	if r.code != 0 {
		d.Fatalf("docker %q: exit code %d: %s%s", args, r.code, r.out, r.errs)
	}
	return strings.TrimSpace(r.out)
}

// run is docker run of the image, without a network.
func (d *docker) run(args ...string) result {
	d.Helper()
	return d.try(append([]string{"run", "--network", "none"}, args...)...)
}

// background runs a script in a container until it is told to end.
func (d *docker) background(script string, opts ...string) string {
	d.Helper()
	args := append([]string{"run", "--detach", "--network", "none"}, opts...)
	return d.do(append(args, imageName, "sh", "-c", script)...)
}

// inspect is a field of a container.
func (d *docker) inspect(id, field string) string {
	d.Helper()
	return d.do("inspect", "--format", "{{"+field+"}}", id)
}

func TestDockerRun(t *testing.T) {
	eachDocker(t, func(t *testing.T, d *docker) {
		d.equal("runtime", d.do("info", "--format", "{{.DefaultRuntime}}"), d.runtimeName())
		r := d.run("--rm", imageName, "sh", "-c", "echo out; echo err >&2; exit 7")
		d.equal("run", fmt.Sprintf("%q %q %d", r.out, r.errs, r.code), `"out\n" "err\n" 7`)
		if r = d.run("--rm", imageName, "/no/such/command"); r.code != 127 {
			t.Errorf("a command that is not there: exit code %d, want 127: %s", r.code, r.errs)
		}
		if r = d.run("--rm", imageName, "/etc"); r.code != 126 {
			t.Errorf("a directory: exit code %d, want 126: %s", r.code, r.errs)
		}
		r = d.run("--rm", "-t", imageName, "sh", "-c", "test -t 1 && tty && stty size")
		if r.code != 0 || !strings.Contains(r.out, "/dev/pts/0") {
			t.Errorf("-t: exit code %d: %q %s", r.code, r.out, r.errs)
		}
		cmd := d.command("run", "--rm", "-i", "--network", "none", imageName, "sh", "-c", "read x; echo got $x; cat")
		cmd.Stdin = strings.NewReader("one\ntwo\n")
		out, err := cmd.Output()
		d.must(err)
		d.equal("-i", string(out), "got one\ntwo\n")
		r = d.run("--rm", imageName, "grep", "Seccomp:", "/proc/self/status")
		d.equal("Docker's profile", r.out, "Seccomp:\t2\n")
		volume := t.TempDir()
		r = d.run("--rm", "--user", "1000:1000", "--hostname", "box", "-e", "A=b", "-w", "/tmp", "-v", volume+":/vol:ro",
			"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--ulimit", "nofile=100:200", "--tmpfs", "/scratch",
			imageName, "sh", "-c", "id -u; hostname; echo $A; pwd; touch /x /vol/x 2>/dev/null || echo ro; grep CapEff /proc/self/status | cut -f2; ulimit -n; touch /scratch/x")
		d.equal("options", r.out+r.errs, "1000\nbox\nb\n/tmp\nro\n0000000000000000\n100\n")
		out, err = d.command("run", "--rm", "--init", "--network", "none", imageName, "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; echo; exit 5").CombinedOutput()
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 5 || !strings.Contains(string(out), "docker-init") {
			t.Errorf("--init: %v: %s", err, out)
		}
	})
}

func TestDockerLife(t *testing.T) {
	eachDocker(t, func(t *testing.T, d *docker) {
		id := d.background("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
		pid, err := strconv.Atoi(d.inspect(id, ".State.Pid"))
		d.must(err)
		// Docker must not have taken another runtime than the one it was told.
		if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.parent(pid))); !strings.Contains(string(args), "containerd-shim-"+d.runtimeName()) {
			t.Fatalf("the container's parent is %q, %v", args, err)
		}
		if group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)); bed.Scopes() && string(group) != "0::/system.slice/docker-"+id+".scope\n" {
			t.Errorf("it is in cgroup %q, %v", group, err)
		}
		d.eventually(func() error { return containsLine(d.try("logs", id).out, "ready") })
		r := d.try("exec", id, "sh", "-c", "echo in; echo err >&2; exit 4")
		d.equal("exec", fmt.Sprintf("%q %q %d", r.out, r.errs, r.code), `"in\n" "err\n" 4`)
		if r = d.try("exec", id, "/no/such/command"); r.code != 127 {
			t.Errorf("exec of a command that is not there: exit code %d, want 127: %s", r.code, r.errs+r.out)
		}
		if r = d.try("exec", "-t", id, "tty"); !strings.Contains(r.out, "/dev/pts/") {
			t.Errorf("exec -t: %q %s", r.out, r.errs)
		}
		d.must(containsLine(d.do("top", id), "sleep 0.05"))
		d.do("pause", id)
		d.equal("status", d.inspect(id, ".State.Status"), "paused")
		d.do("unpause", id)
		d.must(containsLine(d.do("stats", "--no-stream", "--format", "{{.ID}}", id), id[:12]))
		d.do("stop", id)
		d.equal("status", d.inspect(id, ".State.Status")+d.inspect(id, ".State.ExitCode"), "exited3")
		d.must(containsLine(d.do("logs", id), "bye"))
		d.do("start", id)
		d.eventually(func() error {
			if n := strings.Count(d.try("logs", id).out, "ready"); n != 2 {
				return fmt.Errorf("it started %d times", n)
			}
			return nil
		})
		d.do("kill", "--signal", "KILL", id)
		d.equal("exit code", d.do("wait", id), "137")
		d.do("rm", id)

		id = d.background("echo again >>/count; test $(wc -l </count) -ge 3", "--restart", "on-failure:5")
		d.eventually(func() error {
			if s := d.inspect(id, ".State.Status") + d.inspect(id, ".RestartCount"); s != "exited2" {
				return fmt.Errorf("restarts: %s", s)
			}
			return nil
		})
	})
}

// TestDockerLiveRestore: containers outlive dockerd, and containerd.
func TestDockerLiveRestore(t *testing.T) {
	eachDocker(t, func(t *testing.T, d *docker) {
		id := d.background("trap 'exit 6' TERM; while :; do echo tick; sleep 0.05; done")
		short := d.background("sleep 1; exit 8")
		pid := d.inspect(id, ".State.Pid")
		d.end()
		d.must(d.d.Kill())
		d.must(d.d.Restart(d.ctx))
		time.Sleep(1500 * time.Millisecond) // the short one ends with nobody to tell
		d.start()
		d.equal("pid", d.inspect(id, ".State.Pid"), pid)
		d.equal("status", d.inspect(id, ".State.Status"), "running")
		d.equal("exec", d.do("exec", id, "echo", "in"), "in")
		d.eventually(func() error {
			if s := d.inspect(short, ".State.Status"); s != "exited" {
				return fmt.Errorf("%s", s)
			}
			return nil
		})
		d.do("stop", id)
		d.equal("exit code", d.inspect(id, ".State.ExitCode"), "6")
	})
}

// TestDockerLimits: a limit without a controller for it is refused by its name.
func TestDockerLimits(t *testing.T) {
	eachDocker(t, func(t *testing.T, d *docker) {
		if controller("pids") {
			d.equal("limit", d.run("--rm", "--pids-limit", "50", "--cgroupns", "host", imageName,
				"sh", "-c", "cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/pids.max").out, "50\n")
			return
		}
		if !d.mini() {
			return
		}
		// Docker leaves out, with a warning, what it knows that the kernel has not.
		r := d.run("--rm", "--pids-limit", "50", imageName, "true")
		if r.code == 0 && !strings.Contains(r.errs, "discarded") || r.code != 0 && !strings.Contains(r.errs, "pids.limit") {
			t.Errorf("exit code %d: %s", r.code, r.errs)
		}
	})
}
