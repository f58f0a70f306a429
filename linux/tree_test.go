// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// cgroupSpec is newSpec with a cgroup namespace of its own.
func cgroupSpec(t testing.TB, args ...string) *specs.Spec {
	spec := newSpec(t, args...)
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	return spec
}

// treeSpecs are containers of which an exec's tree is known by different means.
var treeSpecs = map[string]func(testing.TB, ...string) *specs.Spec{
	"cgroup namespace":              cgroupSpec,
	"cgroup and user namespace":     userSpec,
	"host's cgroup namespace":       newSpec,
	"no cgroup namespace to be had": userSpec,
}

func treeContainer(t *testing.T, name string) *Container {
	bundle := newBundle(t)
	spec := treeSpecs[name](t, "sleep", "1000")
	if ownNamespace(spec, specs.UserNamespace) {
		chown(t, bundle, 100000)
	}
	c := started(t, bundle, spec, nil)
	if strings.HasPrefix(name, "no ") {
		// A sysctl of user namespaces is that of who opens it (user_namespaces(7)).
		set := exec.Command("nsenter", "-t", strconv.Itoa(c.Init().Pid()), "-U",
			"sh", "-c", "echo 1 >/proc/sys/user/max_cgroup_namespaces")
		if out, err := set.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return c
}

// shell is a process that runs a script.
func shell(script string) *specs.Process {
	return &specs.Process{Args: []string{"sh", "-c", script}, Cwd: "/", Env: []string{"PATH=/bin"}}
}

// sleepers starts an exec with a child, and a daemon unless the tree is known by parents
// alone.
func sleepers(t *testing.T, c *Container, daemon bool) *Process {
	t.Helper()
	script := "sleep 1001 & sleep 1002 & wait"
	if daemon {
		script = "(busybox setsid sh -c 'sleep 1001' &); sleep 1002 & wait"
	}
	p, err := c.Exec(t.Context(), &ExecConfig{ID: "e", Process: shell(script)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// hasProcesses waits until there are n processes in the container.
func hasProcesses(t *testing.T, c *Container, n int) {
	t.Helper()
	for end := time.Now().Add(testenv.Patience(10 * time.Second)); ; time.Sleep(time.Millisecond) {
		pids, err := c.Pids()
		if err != nil {
			t.Fatal(err)
		}
		if len(pids) == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d processes in the container, not %d", len(pids), n)
		}
	}
}

// TestKillTree: all of an exec dies, nothing else does, and no descriptor is left.
func TestKillTree(t *testing.T) {
	testenv.Root(t)
	for name := range treeSpecs {
		t.Run(name, func(t *testing.T) {
			c := treeContainer(t, name)
			daemon := !strings.HasPrefix(name, "no ")
			testenv.NoLeaks(t)
			other := sleepers(t, c, daemon)
			for range 2 { // a cgroup that was killed is not used again
				p := sleepers(t, c, daemon)
				hasProcesses(t, c, 1+3+3)
				if err := p.KillTree(); err != nil {
					t.Error(err)
				}
				if s, err := p.Wait(); err != nil || s.Code != 137 {
					t.Errorf("exit %+v, %v", s, err)
				}
				hasProcesses(t, c, 1+3)
				if err := p.KillTree(); !errdefs.IsNotFound(err) {
					t.Errorf("a second time: %v", err)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := other.KillTree(); err != nil {
				t.Error(err)
			}
			if _, err := other.Wait(); err != nil {
				t.Error(err)
			}
			if err := other.Close(); err != nil {
				t.Error(err)
			}
			hasProcesses(t, c, 1)
		})
	}
}

// TestExecThatLeavesAProcess: what an exec leaves runs on, and costs no descriptor.
func TestExecThatLeavesAProcess(t *testing.T) {
	testenv.Root(t)
	for name := range treeSpecs {
		t.Run(name, func(t *testing.T) {
			c := treeContainer(t, name)
			testenv.NoLeaks(t)
			for n := range 5 {
				text, code := execIn(t, c, shell("busybox setsid sleep 1001 >/dev/null 2>&1 &"))
				if code != 0 {
					t.Fatal(text)
				}
				hasProcesses(t, c, 1+n+1)
			}
		})
	}
}

// TestExecsGroup: an exec is in its container's cgroup, as seen from inside and outside,
// and so are its limits; where init is in the host's cgroup namespace, it is below it.
func TestExecsGroup(t *testing.T) {
	testenv.Root(t)
	for name, spec := range treeSpecs {
		t.Run(name, func(t *testing.T) {
			c := treeContainer(t, name)
			out := newOutput(t)
			p, err := c.Exec(t.Context(), &ExecConfig{
				ID: "e", Stdio: [3]*os.File{nil, out.w, out.w}, Process: shell("cat /proc/self/cgroup; echo seen; sleep 1000"),
			})
			if err != nil {
				t.Fatal(err)
			}
			inside := out.until(t, "seen\n")
			group := func(pid int) string {
				t.Helper()
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
				if err != nil {
					t.Fatal(err)
				}
				_, path, _ := strings.Cut(string(text), "0::")
				return path
			}
			own, of := group(p.Pid()), group(c.Init().Pid())
			if !ownNamespace(spec(t), specs.CgroupNamespace) {
				if filepath.Dir(own)+"\n" != of {
					t.Errorf("the exec is in %s, init in %s", own, of)
				}
			} else if own != of || !strings.Contains(inside, "0::/\n") {
				t.Errorf("the exec is in %s, init in %s; inside:\n%s", own, of, inside)
			}
			if err := p.KillTree(); err != nil {
				t.Error(err)
			}
			if _, err := p.Wait(); err != nil {
				t.Error(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// hostGroups is newSpec with the host's cgroups, to write to.
func hostGroups(t testing.TB, script string) *specs.Spec {
	h, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	spec := newSpec(t, "sh", "-c", script)
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Destination: "/cg", Type: "bind", Source: h.Mountpoint, Options: []string{"bind", "rw"},
	})
	return spec
}

// outside makes a cgroup beside a container's. It returns its directory, and how a
// container of hostGroups names it.
func outside(t testing.TB) (dir, name string) {
	t.Helper()
	dir = testenv.Cgroup(t)
	return dir, "/cg/" + filepath.Base(dir)
}

// TestInitThatLeft: init has left the container's cgroup, and in one case has removed it.
// Whoever kills the container kills init.
func TestInitThatLeft(t *testing.T) {
	testenv.Root(t)
	ends := map[string]func(*Container) error{
		"kill":      (*Container).Kill,
		"signal":    func(c *Container) error { return c.SignalAll(15) },
		"KillAll":   func(c *Container) error { return c.SignalAll(9) },
		"destroy":   func(c *Container) error { return c.Destroy(t.Context()) },
		"a cleanup": nil,
	}
	for name, end := range ends {
		for _, removed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, removed %v", name, removed), func(t *testing.T) {
				_, beside := outside(t)
				script := "echo 0 >" + beside + "/cgroup.procs; "
				spec := hostGroups(t, "")
				if removed {
					script += "busybox rmdir /cg" + spec.Linux.CgroupsPath + "; "
				}
				spec.Process.Args[2] = script + "trap 'exit 9' TERM; echo left; while :; do sleep 0.05; done"
				var rec Record
				bundle, out := newBundle(t), newOutput(t)
				c, err := Create(t.Context(), &Config{
					ID: "c", Bundle: bundle, Spec: spec, Stdio: [3]*os.File{nil, out.w, out.w},
					Record: func(r Record) error { rec = r; return nil },
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := c.Destroy(t.Context()); err != nil {
						t.Error(err)
					}
					if err := c.Init().Close(); err != nil {
						t.Error(err)
					}
				}()
				if err := c.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				out.until(t, "left\n")
				if pids, err := c.Pids(); !slices.Equal(pids, []int{c.Init().Pid()}) || err != nil {
					t.Errorf("pids %v, %v; init's is %d", pids, err, c.Init().Pid())
				}
				if err := c.Pause(t.Context()); removed != errdefs.IsFailedPrecondition(err) || !removed && err != nil {
					t.Errorf("pause: %v", err)
				}
				if !removed {
					if err := c.Resume(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if end != nil {
					err = end(c)
				} else {
					err = Cleanup(t.Context(), bundle, "c", spec, &rec, Options{})
				}
				if err != nil {
					t.Error(err)
				}
				if s, err := c.Init().Wait(); err != nil || s.Code != 137 && name != "signal" || s.Code != 9 && name == "signal" {
					t.Errorf("exit %+v, %v", s, err)
				}
				if err := c.Kill(); err != nil && !errdefs.IsNotFound(err) {
					t.Errorf("kill again: %v", err)
				}
			})
		}
	}
}

// TestExecWhereInitWent: init has left the container's cgroup and removed it: an exec
// goes where init is, and its tree dies as far as it can be found.
func TestExecWhereInitWent(t *testing.T) {
	testenv.Root(t)
	for _, kind := range []specs.LinuxNamespaceType{"", specs.CgroupNamespace} {
		t.Run(string(kind), func(t *testing.T) {
			spec := hostGroups(t, "")
			if kind != "" {
				spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
			}
			dir, beside := outside(t)
			spec.Process.Args[2] = "echo 0 >" + beside + "/cgroup.procs; " +
				"busybox rmdir /cg" + spec.Linux.CgroupsPath + "; echo left; exec sleep 1000"
			out := newOutput(t)
			c := started(t, newBundle(t), spec, out)
			out.until(t, "left\n")
			text, code := execIn(t, c, shell("busybox diff /proc/1/cgroup /proc/self/cgroup"))
			if code != 0 {
				t.Errorf("exit code %d, output\n%s", code, text)
			}
			p := sleepers(t, c, false)
			inGroup := func() int {
				all, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
				if err != nil {
					t.Fatal(err)
				}
				return strings.Count(string(all), "\n")
			}
			for end := time.Now().Add(testenv.Patience(10 * time.Second)); inGroup() < 1+3; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d processes where init is", inGroup())
				}
			}
			if err := p.KillTree(); err != nil {
				t.Error(err)
			}
			if _, err := p.Wait(); err != nil {
				t.Error(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if n := inGroup(); n != 1 {
				t.Errorf("%d processes are left", n)
			}
		})
	}
}

// TestCleanupSparesAnother: a process that has the pid of a recorded init, and is
// another, lives.
func TestCleanupSparesAnother(t *testing.T) {
	stat, err := sys.ReadProcStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []*RecordedInit{nil, {Pid: os.Getpid(), Start: stat.Start + 1}, {Pid: 1 << 22, Start: 1}} {
		if err := i.kill(t.Context()); err != nil {
			t.Errorf("%+v: %v", i, err)
		}
	}
}
