// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// The tests of this file are of one attack: a container whose processes have
// CAP_SYS_PTRACE looks into processes that come into its pid namespace, in the
// moment before they are processes of a container themselves. PR_SET_DUMPABLE does
// not keep that capability out (ptrace(2)).

// secret is what the host's file says that the containers look for.
const secret = "the host's own"

// spy is integration/cmd/spy, and a file of the host's that it is to look for.
type spy struct {
	h    *harness
	file string
	run  oci.SpecOpts // has a container have the program
}

func (h *harness) spy() *spy {
	h.Helper()
	dir := h.TempDir()
	program := filepath.Join(dir, "bin", "spy")
	cmd := exec.Command("go", "build", "-o", program, "./cmd/spy")
	if testenv.InVM() { // which has no Go
		cmd = exec.Command("install", "-D", "../bin/spy", program)
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.Fatalf("go build: %v: %s", err, out)
	}
	s := &spy{h: h, file: filepath.Join(dir, "secret"), run: oci.Compose(bind(filepath.Dir(program), "/home", "ro"), oci.WithAddedCapabilities([]string{"CAP_SYS_PTRACE"}))}
	h.must(os.WriteFile(s.file, []byte(secret), 0o644))
	return s
}

// command is the spy as a container's process.
func (s *spy) command(verb string) oci.SpecOpts {
	return oci.Compose(s.run, oci.WithProcessArgs("/home/spy", verb, s.file))
}

// check fails the test if the spy has found a way out.
func (s *spy) check(what, out string) {
	s.h.Helper()
	stolen := 0
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "STOLEN") {
			stolen++
		}
	}
	if stolen > 0 {
		s.h.Errorf("%s: the container found %d ways out:\n%s", what, stolen, out)
	}
	text, err := os.ReadFile(s.file)
	s.h.must(err)
	if string(text) != secret {
		s.h.Errorf("%s: the host's file was written to: %q", what, text)
	}
}

// TestAttackOnExecByTracer: a container looks at the next pid over and over while
// execs are made in it.
func TestAttackOnExecByTracer(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for name, opt := range map[string]oci.SpecOpts{"as it is": oci.Compose(), "user namespace": userNamespace(100000)} {
			s := h.spy()
			c := h.start(opt, s.command("race"))
			c.expect("ready")
			for range 120 {
				if _, errs, code := c.execs(oci.WithProcessArgs("true")); code != 0 {
					t.Errorf("exec: %d %s", code, errs)
				}
			}
			c.kill()
			s.check(name, c.out.String())
		}
	})
}

// TestAttackOnHeldExecByTracer is that with all the time there is: an exec's
// forerunner is not to be seen in the container, and the exec itself has nothing of
// the host when it is.
func TestAttackOnHeldExecByTracer(t *testing.T) {
	filtered := oci.Compose(oci.WithNewPrivileges, spec(func(s *specs.Spec) { s.Linux.Seccomp = seccomp.DefaultProfile(s) }))
	for _, test := range []struct {
		point string
		seen  bool
		opt   oci.SpecOpts
	}{
		{"exec.in-child-born", false, oci.Compose()},
		{"exec.in-child-entered", false, oci.Compose()},
		{"exec.in-child-reborn", true, oci.Compose()},
		{"exec.in-child-reborn", true, filtered},
		{"exec.in-child-reborn", true, userNamespace(100000)},
	} {
		t.Run(test.point, func(t *testing.T) {
			miniAlone(t, func(t *testing.T, h *harness, faults string) {
				s := h.spy()
				c := h.start(test.opt, s.command("look"))
				c.expect("ready")
				point := h.hold(faults, faultPoint{test.point, true})
				point.arm()
				h.Cleanup(point.release)
				e := c.exec(oci.WithProcessArgs("true"))
				done := make(chan error, 1)
				go func() { done <- e.Start(h.ctx) }()
				s.look(c, point.await(done), test.seen)
				point.release()
				h.must(<-done)
				e.wait()
				_, err := e.Delete(h.ctx)
				h.must(err)
				c.kill()
				s.check(test.point, c.out.String())
			})
		})
	}
}

// join is the pid namespace of a container, and its user namespace where it has one of its
// own, for another container.
func (t *task) join() oci.SpecOpts {
	var opts []oci.SpecOpts
	for _, kind := range []specs.LinuxNamespaceType{specs.PIDNamespace, specs.UserNamespace} {
		path := fmt.Sprintf("/proc/%d/ns/%s", t.Pid(), kind)
		if kind == specs.PIDNamespace || t.h.ns(int(t.Pid()), "user") != t.h.ns(t.shim(), "user") {
			opts = append(opts, namespace(kind, path))
		}
	}
	return oci.Compose(opts...)
}

// TestAttackOnCreateByTracer: a container looks at the next pid over and over while others
// are made in its pid namespace. With runc it finds its way out: the container's init is
// there before its root is.
func TestAttackOnCreateByTracer(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		for name, opt := range map[string]oci.SpecOpts{"as it is": oci.Compose(), "user namespace": userNamespace(100000)} {
			s := h.spy()
			c := h.start(opt, s.command("race"))
			c.expect("ready")
			for range 60 {
				h.equal("stdout of a container", h.prints("echo here", c.join()), "here")
			}
			c.kill()
			s.check(name, c.out.String())
		}
	})
}

// TestAttackOnHeldCreateByTracer is that with all the time there is: who makes the
// container is not to be seen in the pid namespace, and its init has nothing of the host
// when it is.
func TestAttackOnHeldCreateByTracer(t *testing.T) {
	filtered := oci.Compose(oci.WithNewPrivileges, spec(func(s *specs.Spec) { s.Linux.Seccomp = seccomp.DefaultProfile(s) }))
	for _, test := range []struct {
		name, point string
		seen        bool
		opt         oci.SpecOpts
	}{
		{"born", "create.in-child-born", false, oci.Compose()},
		{"named", "create.in-child-named", false, oci.Compose()},
		{"attached", "create.in-child-attached", false, oci.Compose()},
		{"cloned", "share.in-child-cloned", false, oci.Compose()},
		{"reborn", "share.in-child-born", true, oci.Compose()},
		{"reborn filtered", "share.in-child-born", true, filtered},
		{"joined user namespace", "share.in-child-joined", false, userNamespace(100000)},
		{"attached user namespace", "create.in-child-attached", false, userNamespace(100000)},
		{"reborn user namespace", "share.in-child-born", true, userNamespace(100000)},
	} {
		t.Run(test.name, func(t *testing.T) {
			miniAlone(t, func(t *testing.T, h *harness, faults string) {
				s := h.spy()
				c := h.start(test.opt, s.command("look-beside"))
				c.expect("ready")
				point := h.hold(faults, faultPoint{test.point, true})
				point.arm()
				h.Cleanup(point.release)
				opts := []oci.SpecOpts{c.join(), sh("echo here"), s.run}
				if test.name == "reborn filtered" {
					opts = append(opts, filtered)
				}
				second := h.container(opts...)
				done := make(chan error, 1)
				var created *task
				go func() {
					var err error
					created, err = h.tryCreate(second)
					done <- err
				}()
				s.look(c, point.await(done), test.seen)
				point.release()
				h.must(<-done)
				s.look(c, int(created.Pid()), true) // at the gate
				for _, ns := range []string{"mnt", "net", "ipc", "uts"} {
					if link := h.ns(int(created.Pid()), ns); link == h.ns(created.shim(), ns) {
						t.Errorf("the %s namespace is the host's", ns)
					}
				}
				h.must(created.Start(h.ctx))
				h.equal("exit code", fmt.Sprint(created.wait()), "0")
				c.kill()
				s.check(test.point, c.out.String())
			})
		})
	}
}

// look has a container's spy look at a process, which is or is not to be seen in the
// container's pid namespace, and compares its rights with those of the spy.
func (s *spy) look(c *task, pid int, seen bool) {
	s.h.Helper()
	ns := fmt.Sprint(s.h.ns(pid, "pid") == s.h.ns(int(c.Pid()), "pid"))
	s.h.equal("the child is in the pid namespace", ns, fmt.Sprint(seen))
	inner := s.h.status(pid, "NSpid")
	inner = inner[len(inner)-1:]
	s.lookAt(c, inner[0])
	if !seen {
		return
	}
	for _, field := range []string{"Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"} {
		s.h.equal(field+" of the child", fmt.Sprint(s.h.status(pid, field)), fmt.Sprint(s.h.status(int(c.Pid()), field)))
	}
}

// lookAt has a container's spy look at a pid of its namespace.
func (s *spy) lookAt(c *task, pid string) {
	s.h.Helper()
	_, err := fmt.Fprintln(c.stdin, pid)
	s.h.must(err)
	c.expect("looked at " + pid)
}

// TestVMAttackOnOpenerOfProcfs: before Linux 6.18 a process has to be in the pid namespace
// that a container joins, to open a file system context there. It has nothing of the host,
// and who controls it can have it do no more than that.
func TestVMAttackOnOpenerOfProcfs(t *testing.T) {
	testenv.Needs(t, testenv.KernelBefore(t, 6, 18))
	miniAlone(t, func(t *testing.T, h *harness, faults string) {
		s := h.spy()
		c := h.start(s.command("look-beside"))
		c.expect("ready")
		point := h.hold(faults, faultPoint{"procfs.in-child-born", true})
		point.arm()
		h.Cleanup(point.release)
		second := h.container(c.join(), sh("echo here; test -d /proc/self"))
		done := make(chan error, 1)
		var created *task
		go func() {
			var err error
			created, err = h.tryCreate(second)
			done <- err
		}()
		opener := point.await(done)
		h.equal("pid namespace", h.ns(opener, "pid"), h.ns(int(c.Pid()), "pid"))
		for _, ns := range []string{"mnt", "net", "ipc", "uts", "cgroup"} {
			if link := h.ns(opener, ns); link == h.ns(c.shim(), ns) {
				t.Errorf("the %s namespace is the host's", ns)
			}
		}
		h.equal("seccomp filter", fmt.Sprint(h.status(opener, "Seccomp")), "[2]")
		h.equal("capabilities", fmt.Sprint(h.status(opener, "CapEff")), "[0000000000200000]") // CAP_SYS_ADMIN
		inner := h.status(opener, "NSpid")
		s.lookAt(c, inner[len(inner)-1])
		point.release()
		h.must(<-done)
		h.must(created.Start(h.ctx))
		h.equal("exit code", fmt.Sprint(created.wait()), "0")
		h.equal("stdout", created.out.String(), "here\n")
		c.kill()
		s.check("opener", c.out.String())
	})
}

// status is a field of a process's status.
func (h *harness) status(pid int, field string) []string {
	h.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	h.must(err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.Fields(rest)
		}
	}
	h.Fatalf("no %s in the status of process %d", field, pid)
	return nil
}

// TestCreateHookStaysOutOfAJoinedPidNamespace: a createContainer hook has the host's
// mounts, so it is not to be seen by those in the pid namespace that its container joins.
func TestCreateHookStaysOutOfAJoinedPidNamespace(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		first := h.start(forever())
		first.expect("ready")
		file := filepath.Join(t.TempDir(), "namespaces")
		script := "cat >/dev/null; readlink /proc/self/ns/pid /proc/self/ns/net >" + file
		second := h.start(forever(), namespace(specs.PIDNamespace, fmt.Sprintf("/proc/%d/ns/pid", first.Pid())), hookScript("createContainer", script))
		second.expect("ready")
		got, err := os.ReadFile(file)
		h.must(err)
		h.equal("namespaces of the hook", string(got), h.ns(second.shim(), "pid")+"\n"+h.ns(int(second.Pid()), "net")+"\n")
		h.equal("pid namespace of init", h.ns(int(second.Pid()), "pid"), h.ns(int(first.Pid()), "pid"))
		second.kill()
		first.kill()
	})
}
