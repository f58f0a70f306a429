// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// busybox is where Debian's busybox-static puts its binary.
const busybox = "/bin/busybox"

// newBundle makes a bundle with a busybox root and returns its directory.
func newBundle(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "rootfs", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", busybox, bin).CombinedOutput(); err != nil {
		t.Fatalf("copy busybox: %v: %s", err, out)
	}
	for _, applet := range []string{"sh", "true", "cat", "id", "sleep", "pwd", "ls", "echo", "grep", "ps", "hostname", "ip", "stat", "env", "umask", "mount", "touch", "readlink", "tty", "kill"} {
		if err := os.Symlink("busybox", filepath.Join(bin, applet)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"proc", "sys", "dev", "tmp", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, "rootfs", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	passwd := "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"
	if err := os.WriteFile(filepath.Join(dir, "rootfs/etc/passwd"), []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newSpec is what containerd's default spec amounts to.
func newSpec(t testing.TB, args ...string) *specs.Spec {
	caps := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/bin"}, NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 1024}},
		},
		Hostname: "mini",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: fmt.Sprintf("/%s%d/%s", testenv.CgroupPrefix(), os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-")),
			Resources:   &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
			},
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// output is a pipe that a process writes to.
type output struct {
	r, w *os.File
}

func newOutput(t testing.TB) *output {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return &output{r, w}
}

// read closes the write end and returns all that was written.
func (o *output) read(t testing.TB) string {
	o.w.Close()
	b, err := io.ReadAll(o.r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// until returns what was written up to the first text that ends with suffix.
func (o *output) until(t testing.TB, suffix string) string {
	if err := o.r.SetReadDeadline(time.Now().Add(testenv.Patience(20 * time.Second))); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(text), suffix); {
		if _, err := o.r.Read(b); err != nil {
			t.Fatalf("%v after %q", err, text)
		}
		text = append(text, b...)
	}
	return string(text)
}

func create(t testing.TB, bundle string, spec *specs.Spec, out *output) (*Container, error) {
	cfg := &Config{ID: filepath.Base(t.Name()), Bundle: bundle, Spec: spec, Record: func(Record) error { return nil }}
	if out != nil {
		cfg.Stdio = [3]*os.File{nil, out.w, out.w}
	}
	return Create(t.Context(), cfg)
}

// run runs a container to its end and returns its output and exit code.
func run(t testing.TB, spec *specs.Spec) (string, uint32) {
	t.Helper()
	out := newOutput(t)
	c, err := create(t, newBundle(t), spec, out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := out.read(t)
	status, err := c.Init().Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Init().Close(); err != nil {
		t.Fatal(err)
	}
	return text, status.Code
}

func TestRun(t *testing.T) {
	testenv.Root(t)
	text, code := run(t, newSpec(t, "sh", "-c", `echo $$ $(hostname) $(pwd) $HOME; ip addr show lo; id; cat /proc/self/cgroup; mount; ls -l /dev /proc/self/fd; exit 7`))
	t.Log(text)
	if code != 7 || !strings.HasPrefix(text, "1 mini / /root\n") {
		t.Fatalf("exit code %d, output\n%s", code, text)
	}
}

func TestMissingCommandFailsCreate(t *testing.T) {
	testenv.Root(t)
	for _, arg0 := range []string{"nosuch", "/nosuch", "/etc/passwd", "/bin"} {
		c, err := create(t, newBundle(t), newSpec(t, arg0), nil)
		if err == nil {
			_ = c.Destroy(t.Context())
			t.Fatalf("%s: created", arg0)
		}
		t.Log(err)
		if arg0 == "nosuch" && (!errdefs.IsNotFound(err) || !strings.Contains(err.Error(), `exec: "nosuch": executable file not found in $PATH`)) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestExec(t *testing.T) {
	testenv.Root(t)
	c := started(t, newBundle(t), newSpec(t, "sleep", "1000"), nil)
	out := newOutput(t)
	proc := &specs.Process{Args: []string{"sh", "-c", "id -u; echo $HOME; pwd; ps; exit 3"}, Cwd: "/tmp", Env: []string{"PATH=/bin"}, User: specs.User{UID: 1000, GID: 1000}}
	p, err := c.Exec(t.Context(), &ExecConfig{ID: "e1", Process: proc, Stdio: [3]*os.File{nil, out.w, out.w}})
	if err != nil {
		t.Fatal(err)
	}
	text := out.read(t)
	status, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if status.Code != 3 || !strings.HasPrefix(text, "1000\n/home/user\n/tmp\n") {
		t.Fatalf("exit code %d, output\n%s", status.Code, text)
	}
	if !strings.Contains(text, "1 0 ") && !strings.Contains(text, "sleep 1000") {
		t.Fatalf("not in the container's pid namespace:\n%s", text)
	}
}

// TestExecErrors tells a command that is missing from an init that is gone.
func TestExecErrors(t *testing.T) {
	testenv.Root(t)
	c := started(t, newBundle(t), newSpec(t, "sleep", "1000"), nil)
	exec := func(arg0 string) error {
		p, err := c.Exec(t.Context(), &ExecConfig{ID: "e", Process: &specs.Process{Args: []string{arg0}, Cwd: "/", Env: []string{"PATH=/bin"}}})
		if err != nil {
			return err
		}
		_, err = p.Wait()
		return errors.Join(err, p.Close())
	}
	for arg0, want := range map[string]string{
		"nosuch":      `exec: "nosuch": executable file not found in $PATH: not found`,
		"/nosuch":     `exec: "/nosuch": no such file or directory: not found`,
		"/etc/passwd": `exec: "/etc/passwd": permission denied: permission denied`,
		"/bin":        `exec: "/bin": is a directory: invalid argument`,
	} {
		if err := exec(arg0); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := exec("/bin/true"); err != nil {
		t.Error(err)
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Init().Wait(); err != nil {
		t.Fatal(err)
	}
	if err := exec("/bin/true"); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("after init's end: %v", err)
	}
}

func TestTerminal(t *testing.T) {
	testenv.Root(t)
	spec := newSpec(t, "sh", "-c", "tty; ls -l /dev/console; stat -c %t:%T /dev/console; exit 4")
	spec.Process.Terminal = true
	spec.Process.ConsoleSize = &specs.Box{Width: 80, Height: 24}
	c := started(t, newBundle(t), spec, nil)
	var b bytes.Buffer
	_, err := io.Copy(&b, c.Init().Console())
	t.Log(b.String(), err)
	if s, err := c.Init().Wait(); err != nil || s.Code != 4 {
		t.Fatal(s, err)
	}
	if !strings.Contains(b.String(), "/dev/pts/0") && !strings.Contains(b.String(), "/dev/console") {
		t.Fatal(b.String())
	}
}

// chown gives a bundle to the host's idea of a container's root.
func chown(t testing.TB, bundle string, id int) {
	t.Helper()
	if out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", id, id), bundle).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for d := bundle; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// started creates and starts a container that ends with the test.
func started(t testing.TB, bundle string, spec *specs.Spec, out *output) *Container {
	t.Helper()
	c, err := create(t, bundle, spec, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
		if _, err := c.Init().Wait(); err != nil {
			t.Error(err)
		}
		if err := c.Init().Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// execIn runs a process in c and returns its output and exit code.
func execIn(t testing.TB, c *Container, proc *specs.Process) (string, uint32) {
	t.Helper()
	out := newOutput(t)
	p, err := c.Exec(t.Context(), &ExecConfig{ID: "e", Process: proc, Stdio: [3]*os.File{nil, out.w, out.w}})
	if err != nil {
		t.Fatal(err)
	}
	text := out.read(t)
	s, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return text, s.Code
}

// userSpec is newSpec in a user namespace of its own that begins at host id 100000.
func userSpec(t testing.TB, args ...string) *specs.Spec {
	spec := newSpec(t, args...)
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	spec.Linux.GIDMappings = spec.Linux.UIDMappings
	return spec
}

func TestUserNamespace(t *testing.T) {
	testenv.Root(t)
	bundle, out := newBundle(t), newOutput(t)
	chown(t, bundle, 100000)
	c := started(t, bundle, userSpec(t, "sh", "-c", "id -u; cat /proc/self/uid_map; cat /proc/self/cgroup | busybox tail -1; touch /tmp/x; stat -c %u /dev /run /tmp/x; hostname; sleep 1000 & wait"), out)
	text, code := execIn(t, c, &specs.Process{Args: []string{"sh", "-c", "id -u; id -g; stat -c %u /tmp; hostname"}, Cwd: "/", Env: []string{"PATH=/bin"}, User: specs.User{UID: 5, GID: 6}})
	if code != 0 || text != "5\n6\n0\nmini\n" {
		t.Errorf("exec: exit code %d, output\n%s", code, text)
	}
	text = out.until(t, "mini\n")
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "0\n         0     100000      65536\n") || !strings.Contains(text, "0::/\n0\n0\n0\nmini\n") {
		t.Errorf("output\n%s", text)
	}
}

// TestPod makes a second container in the user, network, ipc, uts namespaces of a
// first one, as a Kubernetes pod with hostUsers: false does, and one that shares
// its pid namespace, too.
func TestPod(t *testing.T) {
	testenv.Root(t)
	for _, sharePIDs := range []bool{false, true} {
		t.Run(fmt.Sprintf("sharePIDs=%v", sharePIDs), func(t *testing.T) {
			sandboxBundle, bundle, out := newBundle(t), newBundle(t), newOutput(t)
			chown(t, sandboxBundle, 100000)
			chown(t, bundle, 100000)
			sandbox := userSpec(t, "sleep", "1000")
			sandbox.Linux.CgroupsPath += "-sandbox"
			sandbox.Hostname = "pod"
			s := started(t, sandboxBundle, sandbox, nil)
			spec := userSpec(t, "sh", "-c", "id -u; hostname; ip addr show lo | head -1; echo pid $$; readlink /proc/self/ns/user; ps")
			spec.Hostname = ""
			for i, n := range spec.Linux.Namespaces {
				join := map[specs.LinuxNamespaceType]string{specs.UserNamespace: "user", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts"}
				if sharePIDs {
					join[specs.PIDNamespace] = "pid"
				}
				if name := join[n.Type]; name != "" {
					spec.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", s.Init().Pid(), name)
				}
			}
			spec.Linux.UIDMappings, spec.Linux.GIDMappings = nil, nil
			c := started(t, bundle, spec, out)
			text := out.read(t)
			user, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", s.Init().Pid()))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(text, "0\npod\n1: lo") || !strings.Contains(text, user) {
				t.Errorf("output\n%s", text)
			}
			if strings.Contains(text, "pid 1\n") == sharePIDs || strings.Contains(text, "sleep 1000") != sharePIDs {
				t.Errorf("wrong pid namespace:\n%s", text)
			}
			if st, err := c.Init().Wait(); err != nil || st.Code != 0 {
				t.Errorf("exit %+v, %v", st, err)
			}
		})
	}
}

func TestHostNamespaces(t *testing.T) {
	testenv.Root(t)
	spec := newSpec(t, "sh", "-c", "for n in pid net uts; do readlink /proc/self/ns/$n; done; sleep 1000 & echo $$")
	spec.Hostname = ""
	spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.TimeNamespace}}
	spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000000}}
	out := newOutput(t)
	c := started(t, newBundle(t), spec, out)
	var want string
	for _, n := range []string{"pid", "net", "uts"} {
		link, err := os.Readlink("/proc/self/ns/" + n)
		if err != nil {
			t.Fatal(err)
		}
		want += link + "\n"
	}
	if _, err := c.Init().Wait(); err != nil {
		t.Fatal(err)
	}
	if c.PrivatePIDs() {
		t.Error("it says that it has a pid namespace")
	}
	if err := c.Kill(); err != nil { // the sleep that outlives init
		t.Fatal(err)
	}
	if text := out.read(t); text != want+fmt.Sprintf("%d\n", c.Init().Pid()) {
		t.Errorf("output\n%s\nwant\n%s", text, want)
	}
}
