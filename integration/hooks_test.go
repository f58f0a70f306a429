// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// hookList is the spec's list of that name.
func hookList(h *specs.Hooks, name string) *[]specs.Hook {
	return map[string]*[]specs.Hook{
		//lint:ignore SA1019 deprecated, and in use
		"prestart": &h.Prestart, "createRuntime": &h.CreateRuntime, "createContainer": &h.CreateContainer,
		"startContainer": &h.StartContainer, "poststart": &h.Poststart, "poststop": &h.Poststop,
	}[name]
}

var hookNames = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

// hook adds a hook to the list of that name.
func hook(name string, change specs.Hook) oci.SpecOpts {
	return spec(func(s *specs.Spec) {
		if s.Hooks == nil {
			s.Hooks = &specs.Hooks{}
		}
		list := hookList(s.Hooks, name)
		*list = append(*list, change)
	})
}

// hookScript is a hook that runs a shell script; $1 is the hook's name.
func hookScript(name, script string) oci.SpecOpts {
	return hook(name, specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script, "sh", name}, Env: []string{"PATH=/bin:/usr/bin"}})
}

// shared is a directory that has the same path on the host and in the container.
func shared(t *testing.T) (dir string, opt oci.SpecOpts) {
	dir = t.TempDir()
	return dir, bind(dir, dir, "rw")
}

// lines reads a file's lines; none where there is no file.
func (h *harness) lines(file string) []string {
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	h.must(err)
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// bundle is where the container's bundle will be.
func (h *harness) bundle(id string) string { return filepath.Join(h.d.StateDir(), id) }

// told is what a hook wrote of itself.
func (h *harness) told(dir, name, what string) string {
	return strings.Join(h.lines(filepath.Join(dir, name+"."+what)), "\n")
}

const hookTells = `cd_was=$(pwd); cd DIR; echo $1 >>order; cat >$1.state; echo $cd_was >$1.cwd; env >$1.env
for n in mnt pid net uts ipc; do readlink /proc/self/ns/$n; done >$1.ns; ls /proc/self/fd >$1.fd; [ -e $(echo BUNDLE/rootfs/bin/busybox) ] && echo yes >$1.rootfs; cat /proc/self/cgroup >$1.cgroup; :`

// TestHooks: all six, twice each, in order, in their namespaces and directories,
// with the state on stdin.
func TestHooks(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir, opt := shared(t)
		opts := []oci.SpecOpts{forever(), opt, oci.WithAnnotations(map[string]string{"a/b": "<c>/d"})}
		id := h.newID()
		bundle := h.bundle(id)
		script := strings.NewReplacer("DIR", dir, "BUNDLE", bundle).Replace(hookTells)
		for _, name := range hookNames {
			opts = append(opts, hookScript(name, script), hookScript(name, "echo $1 again >>"+dir+"/order"))
		}
		task, err := h.tryCreate(h.containerID(id, opts...))
		h.must(err)
		created := h.lines(dir + "/order")
		h.must(task.Start(h.ctx))
		started := h.lines(dir + "/order")
		task.expect("ready")
		if !h.mini() {
			started = h.lines(dir + "/order") // runc start does not wait for init's hooks
		}
		pid := int(task.Pid())
		inside, outside := nsOf(h, pid), nsOf(h, os.Getpid())
		task.kill()

		twice := func(names ...string) (all []string) {
			for _, n := range names {
				all = append(all, n, n+" again")
			}
			return all
		}
		wantCreated, wantAll := twice(hookNames[:3]...), twice(hookNames...)
		if !h.mini() { // runc 1.5 runs poststart when it has created the container
			wantCreated = twice("prestart", "createRuntime", "createContainer", "poststart")
			wantAll = append(slices.Clone(wantCreated), twice("startContainer", "poststop")...)
		}
		h.equal("order at create", fmt.Sprint(created), fmt.Sprint(wantCreated))
		h.equal("order at start", fmt.Sprint(started), fmt.Sprint(wantAll[:10]))
		h.equal("order", fmt.Sprint(h.lines(dir+"/order")), fmt.Sprint(wantAll))
		for _, name := range hookNames {
			h.checkHookState(dir, name, id, bundle, pid)
			want, cwd := outside, bundle
			switch name {
			case "createContainer":
				want, cwd = inside, bundle+"/rootfs"
			case "startContainer":
				want, cwd = inside, "/"
			}
			h.equal(name+": namespaces", h.told(dir, name, "ns"), want)
			if h.mini() { // runc's createContainer has five more
				h.equal(name+": files", h.told(dir, name, "fd"), "0\n1\n2\n3") // 3 is ls's own
			}
			h.equal(name+": directory", h.told(dir, name, "cwd"), cwd)
			if name != "startContainer" {
				h.equal(name+": sees the rootfs", h.told(dir, name, "rootfs"), "yes")
			}
		}
	})
}

// nsOf are the namespaces of a process as hookTells lists them.
func nsOf(h *harness, pid int) string {
	var all []string
	for _, n := range []string{"mnt", "pid", "net", "uts", "ipc"} {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, n))
		h.must(err)
		all = append(all, link)
	}
	return strings.Join(all, "\n")
}

// checkHookState reads what a hook got on stdin.
func (h *harness) checkHookState(dir, name, id, bundle string, pid int) {
	h.Helper()
	text := h.told(dir, name, "state")
	if !strings.Contains(text, bundle) { // so no slash is escaped
		h.Errorf("%s: no bundle %s in %q", name, bundle, text)
	}
	var s specs.State
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		h.Errorf("%s: state %q: %v", name, text, err)
		return
	}
	status := map[string]specs.ContainerState{
		"prestart": "creating", "createRuntime": "creating", "createContainer": "creating",
		"startContainer": "created", "poststart": "running", "poststop": "stopped",
	}[name]
	if name == "poststart" && !h.mini() {
		status = "created"
	}
	switch name {
	case "createContainer", "startContainer":
		pid = 1
	case "poststop":
		pid = 0
	}
	h.equal(name+": state", fmt.Sprintf("%s %s %s %d %s %s", s.Version, s.ID, s.Status, s.Pid, s.Bundle, s.Annotations["a/b"]),
		fmt.Sprintf("%s %s %s %d %s %s", specs.Version, id, status, pid, bundle, "<c>/d"))
}

// TestHookEnvironment: as it is, and without one the shim's on the host, none in
// createContainer, the container process's in startContainer.
func TestHookEnvironment(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir, opt := shared(t)
		opts := []oci.SpecOpts{sh("echo ran"), opt, oci.WithEnv([]string{"OF_THE_PROCESS=1"})}
		for _, name := range hookNames {
			own, none := specs.Hook{Path: "/bin/sh"}, specs.Hook{Path: "/bin/sh"}
			own.Args = []string{"sh", "-c", "cat /proc/self/environ >" + dir + "/" + name + ".own"}
			own.Env = []string{"PATH=/bin:/usr/bin", "OWN=1"}
			none.Args = []string{"sh", "-c", "PATH=/bin:/usr/bin; cat /proc/self/environ >" + dir + "/" + name + ".none"}
			opts = append(opts, hook(name, own), hook(name, none))
		}
		_, _, code := h.run(opts...)
		h.equal("exit code", strconv.Itoa(int(code)), "0")
		for _, name := range hookNames {
			h.equal(name+": own", strings.Join(filter(environ(dir+"/"+name+".own"), "PWD=", "SHLVL=", "_=", "OLDPWD="), " "), "PATH=/bin:/usr/bin OWN=1")
			none := filter(environ(dir+"/"+name+".none"), "PWD=")
			switch name {
			case "createContainer":
				h.equal(name+": none", strings.Join(none, " "), "")
			case "startContainer":
				if !slices.Contains(none, "OF_THE_PROCESS=1") {
					t.Errorf("%s: %q is not the process's environment", name, none)
				}
			default:
				if !slices.ContainsFunc(none, func(s string) bool { return strings.HasPrefix(s, "TTRPC_ADDRESS=") }) {
					t.Errorf("%s: %q is not the shim's environment", name, none)
				}
			}
		}
	})
}

// environ reads a copy of /proc/PID/environ.
func environ(file string) []string {
	data, err := os.ReadFile(file)
	if err != nil {
		return []string{err.Error()}
	}
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == 0 })
}

// filter leaves out what begins with one of the prefixes.
func filter(list []string, prefixes ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
	})
}

// TestCreateHookFails: Create says which hook failed and what it printed, the
// hooks behind it do not run, poststop does; and nothing is left, the harness
// looks.
func TestCreateHookFails(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, name := range hookNames[:3] {
			dir := t.TempDir()
			c := h.container(sh("echo"),
				hookScript(name, "echo $1 >>"+dir+"/order; echo printed; echo complained >&2; exit 7"),
				hookScript(name, "echo second >>"+dir+"/order"),
				hookScript("poststop", "echo $1 >>"+dir+"/order"))
			_, err := c.NewTask(h.ctx, cio.NullIO)
			if err == nil {
				t.Errorf("%s: it is created", name)
				continue
			}
			for _, text := range []string{name, "exit status 7", "printed", "complained"} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %v; want an error with %q", name, err, text)
				}
			}
			h.equal(name+": order", fmt.Sprint(h.lines(dir+"/order")), fmt.Sprint([]string{name, "poststop"}))
		}
	})
}

// TestMissingHook: a hook that cannot run is one that failed.
func TestMissingHook(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, name := range hookNames[:3] {
			_, err := h.container(sh("echo"), hook(name, specs.Hook{Path: "/no/such/hook"})).NewTask(h.ctx, cio.NullIO)
			if err == nil || !strings.Contains(err.Error(), "no such file or directory") {
				t.Errorf("%s: %v; want no such file", name, err)
			}
		}
	})
}

// TestStartHookFails: the container's program is never run.
func TestStartHookFails(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir, opt := shared(t)
		task := h.create(sh("touch "+dir+"/ran"), opt, hookScript("startContainer", "exit 9"), hookScript("poststop", "echo $1 >>"+dir+"/order"))
		err := task.Start(h.ctx)
		if h.mini() && (err == nil || !strings.Contains(err.Error(), "startContainer hook 0") || !strings.Contains(err.Error(), "exit status 9")) {
			t.Errorf("start: %v; want the hook's failure", err) // runc start does not wait for init's hooks
		}
		if code := task.wait(); code == 0 {
			t.Error("exit code 0")
		}
		task.delete()
		if _, err := os.Stat(dir + "/ran"); err == nil {
			t.Error("the program ran")
		}
		h.equal("order", fmt.Sprint(h.lines(dir+"/order")), "[poststop]")
	})
}

// TestPoststartHookFails: the container is stopped.
func TestPoststartHookFails(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.container(forever(), hookScript("poststart", "exit 9"))
		task, err := h.tryCreate(c)
		if h.mini() {
			h.must(err)
			err = task.Start(h.ctx)
		}
		if err == nil || !strings.Contains(err.Error(), "poststart hook") || !strings.Contains(err.Error(), "exit status 9") {
			t.Errorf("%v; want the hook's failure", err)
		}
		if h.mini() {
			h.equal("exit code", strconv.Itoa(int(task.wait())), "137")
			task.delete()
		}
	})
}

// TestPoststopHookFails: Delete has no error, the hooks behind it run all the same.
// runc's delete stops at it.
func TestPoststopHookFails(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		dir := t.TempDir()
		_, _, code := h.run(sh("exit 3"), hookScript("poststop", "echo complained >&2; exit 9"), hookScript("poststop", "echo second >>"+dir+"/order"))
		h.equal("exit code", strconv.Itoa(int(code)), "3")
		h.equal("order", fmt.Sprint(h.lines(dir+"/order")), "[second]")
		if log := h.d.Log(); !strings.Contains(log, "run poststop hook 0 /bin/sh: exit status 9") || !strings.Contains(log, "complained") {
			t.Errorf("no warning in the log:\n%s", tail(log))
		}
	})
}

// TestPoststopOfADeadShim: the hook runs when containerd has the container cleaned
// up, and once only where the shim lives.
func TestPoststopOfADeadShim(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir := t.TempDir()
		task := h.start(forever(), hookScript("poststop", "cat >"+dir+"/state; echo $1 >>"+dir+"/order"))
		task.expect("ready")
		h.must(syscall.Kill(task.shim(), syscall.SIGKILL))
		<-task.exit
		h.eventually(func() error {
			_, err := os.Stat(dir + "/order")
			return err
		})
		_, _ = task.Delete(h.ctx) // containerd may have forgotten it already
		h.must(task.c.Delete(h.ctx, client.WithSnapshotCleanup))
		h.equal("order", fmt.Sprint(h.lines(dir+"/order")), "[poststop]")
		if state := strings.Join(h.lines(dir+"/state"), ""); !strings.Contains(state, `"status":"stopped"`) {
			t.Errorf("state %q", state)
		}
	})
}

// TestHookTimeout: a hook that takes too long is killed with what it started, and
// has failed.
func TestHookTimeout(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, name := range hookNames[:4] {
			if name == "startContainer" && !h.mini() {
				continue // the error goes nowhere
			}
			dir, opt := shared(t)
			second := 1
			hang := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo $$ >" + dir + "/pids; exec sleep 60"}, Env: []string{"PATH=/bin:/usr/bin"}, Timeout: &second}
			if h.mini() { // runc kills the hook alone
				hang.Args[2] = "sleep 60 & cat /proc/$!/stat | cut -d' ' -f1 >" + dir + "/pids; wait"
			}
			begin := time.Now()
			task, err := h.tryCreate(h.container(sh("echo"), opt, hook(name, hang)))
			if name == "startContainer" {
				h.must(err)
				err = task.Start(h.ctx)
			}
			if err == nil || !strings.Contains(err.Error(), "timeout of 1") {
				t.Errorf("%s: %v; want a timeout", name, err)
			}
			if d := time.Since(begin); d < time.Second || d > 20*time.Second {
				t.Errorf("%s: it took %v", name, d)
			}
			if name == "prestart" || name == "createRuntime" { // the others' pids are the container's
				pid := h.lines(dir + "/pids")[0]
				h.eventually(func() error {
					if _, err := os.Stat("/proc/" + pid); err == nil {
						return fmt.Errorf("%s: process %s lives", name, pid)
					}
					return nil
				})
			}
			if name == "startContainer" {
				task.wait()
				task.delete()
			}
		}
	})
}

// TestHookLimits: what mini says of a hook that hangs on its pipes, or says too
// much.
func TestHookLimits(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		// A process in the background that holds the hook's output does not hold up
		// the container; runc waits for it.
		begin, pid := time.Now(), t.TempDir()+"/pid"
		_, _, code := h.run(sh("exit 3"), hookScript("createRuntime", "sleep 30 & echo $! >"+pid))
		sleeper, err := strconv.Atoi(h.lines(pid)[0])
		h.must(err)
		h.must(syscall.Kill(sleeper, syscall.SIGKILL))
		h.equal("exit code", strconv.Itoa(int(code)), "3")
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("it took %v", d)
		}
		_, err = h.container(sh("echo"), hookScript("createRuntime", "yes | head -c 1000000; echo at the end; exit 1")).NewTask(h.ctx, cio.NullIO)
		if err == nil || len(err.Error()) > 16<<10 || !strings.Contains(err.Error(), "at the end") {
			t.Errorf("an error of %d bytes: %.200v", len(fmt.Sprint(err)), err)
		}
	})
}

// TestCreateHookReachesTheContainer: a prestart hook finds the container's network
// namespace and its root; what it brings there can be configured by linux.sysctl. A
// createContainer hook mounts into the root.
func TestCreateHookReachesTheContainer(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		id := h.newID()
		pid := `$(sed 's/.*"pid":\([0-9]*\).*/\1/')`
		c := h.containerID(id, sh("cat /proc/sys/net/ipv4/conf/hook7/forwarding /mnt/file /rootfile"),
			hookScript("createRuntime", "nsenter -t "+pid+" -n ip link add hook7 type veth peer name hook8; echo of the host >"+h.bundle(id)+"/rootfs/rootfile"),
			hookScript("createContainer", "mkdir -p mnt && mount -t tmpfs tmpfs mnt && echo mounted >mnt/file"),
			spec(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net/ipv4/conf/hook7/forwarding": "1"} }))
		task, err := h.tryCreate(c)
		h.must(err)
		h.must(task.Start(h.ctx))
		code := task.wait()
		task.delete()
		if out := task.out.String(); code != 0 || out != "1\nmounted\nof the host\n" {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, out, task.errs)
		}
	})
}

// TestStartHookIsOfTheContainer: it has the container's user, capabilities,
// directory and limits, and what it writes is there for init.
func TestStartHookIsOfTheContainer(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("cat /tmp/told",
			hookScript("startContainer", `(id -u; id -G; pwd; ulimit -n; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status | tr '\t' ' ') >/tmp/told`),
			oci.WithUser("1000:1000"), oci.WithProcessCwd("/tmp"),
			mount("tmpfs", "tmpfs", "/tmp", "mode=1777"),
			process(func(p *specs.Process) {
				p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 77}}
				p.User.AdditionalGids = []uint32{5}
				caps := []string{"CAP_CHOWN"}
				p.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
			}))
		h.equal("hook", out, "1000\n1000 5\n/tmp\n77\nCapEff: 0000000000000000\nCapBnd: 0000000000000001\nNoNewPrivs: 1")
	})
}

// TestHooksInAUserNamespace: the container's root is who runs its hooks.
func TestHooksInAUserNamespace(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir, opt := shared(t)
		h.must(os.Chmod(dir, 0o777))
		for d := dir; d != "/"; d = filepath.Dir(d) {
			if info, err := os.Stat(d); err == nil && info.Mode()&0o001 == 0 {
				h.must(os.Chmod(d, info.Mode().Perm()|0o011))
			}
		}
		script := "id -u >" + dir + "/$1; cat /proc/self/uid_map >>" + dir + "/$1"
		h.run(sh("true"), opt, userNamespace(100000),
			hookScript("createContainer", script), hookScript("startContainer", script), hookScript("createRuntime", script))
		for name, want := range map[string]string{"createContainer": "0 0 100000 65536", "startContainer": "0 0 100000 65536", "createRuntime": "0 0 0 4294967295"} {
			h.equal(name, strings.Join(strings.Fields(strings.Join(h.lines(dir+"/"+name), " ")), " "), want)
		}
	})
}

// TestStartHookIsFiltered: the container's seccomp filter is that of its hooks, too.
func TestStartHookIsFiltered(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		deny := spec(func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64},
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno}},
			}
		})
		out := h.prints("ls /tmp", deny, mount("tmpfs", "tmpfs", "/tmp"),
			hookScript("createContainer", "mkdir tmp/before"), hookScript("startContainer", "mkdir /tmp/after; touch /tmp/ran"))
		h.equal("files", out, "before\nran")
	})
}

// TestHooksWithATerminal: it is the process's alone.
func TestHooksWithATerminal(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir, opt := shared(t)
		opts := []oci.SpecOpts{opt, sh("tty; echo ready; read x")}
		for _, name := range hookNames {
			opts = append(opts, hookScript(name, "test -t 0 || test -t 1 || echo $1 >>"+dir+"/none"))
		}
		task := h.startTerminal(opts...)
		task.expect("ready")
		task.kill()
		got := h.lines(dir + "/none")
		slices.Sort(got)
		want := slices.Sorted(slices.Values(hookNames))
		h.equal("hooks without a terminal", fmt.Sprint(got), fmt.Sprint(want))
	})
}

// TestHooksWithoutPivotRoot: they are where they are otherwise.
func TestHooksWithoutPivotRoot(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.options = &options.Options{NoPivotRoot: true}
		out := h.prints("cat /mnt/file /tmp/file", mount("tmpfs", "tmpfs", "/tmp"), mount("tmpfs", "tmpfs", "/mnt"),
			hookScript("createContainer", "echo created >mnt/file"), hookScript("startContainer", "echo started >/tmp/file"))
		h.equal("files", out, "created\nstarted")
	})
}

// allHooks is a container with one hook of each kind, which reads its state.
func allHooks(*harness) []oci.SpecOpts {
	opts := []oci.SpecOpts{forever()}
	for _, name := range hookNames {
		opts = append(opts, hookScript(name, "cat >/dev/null"))
	}
	return opts
}
