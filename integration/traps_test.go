// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/bed"
)

// The tests of this file are of what another runtime once got wrong and has a test
// of its own since. The names are those of runc's.

// says runs a script in a container and returns what it printed. The container lives
// until all of it has arrived: runc's shim loses the output of short processes now
// and then.
func (h *harness) says(script string, opts ...oci.SpecOpts) string {
	h.Helper()
	task := h.start(append(opts, sh("{ "+script+"\n}; echo the end; read x"))...)
	task.expect("the end\n")
	task.kill()
	return strings.TrimSuffix(strings.TrimSuffix(task.out.String(), "the end\n"), "\n")
}

// says does the same in an exec.
func (t *task) says(script string, opts ...oci.SpecOpts) string {
	t.h.Helper()
	e := t.exec(append(opts, sh("{ "+script+"\n}; echo the end; read x"))...)
	t.h.must(e.Start(t.h.ctx))
	t.h.eventually(func() error {
		if !strings.Contains(e.out.String(), "the end") {
			return fmt.Errorf("stdout %q, stderr %q", e.out, e.errs)
		}
		return nil
	})
	t.h.must(e.Kill(t.h.ctx, syscall.SIGKILL))
	e.wait()
	_, err := e.Delete(t.h.ctx)
	t.h.must(err)
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(e.out.String()), "the end"))
}

// volume is a directory of the host that the container's user finds at /home.
func (h *harness) volume() (dir string, opt oci.SpecOpts) {
	dir = h.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		h.must(os.Chmod(d, 0o755))
	}
	return dir, bind(dir, "/home", "rbind", "rw")
}

// TestMountTraps: setgid / + mkdirall; a bind through a dangling symlink component,
// through a trailing one, of a file and of a directory; ro /dev.
func TestMountTraps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir, volume := h.volume()
		h.must(os.Mkdir(dir+"/setgid", 0o755))
		h.must(os.Chmod(dir+"/setgid", 0o755|os.ModeSetuid|os.ModeSetgid|os.ModeSticky))
		h.says("true", volume, mount("tmpfs", "tmpfs", "/home/setgid/a/b/c", "ro", "nodev", "nosuid"))
		for path, want := range map[string]string{"": "7755", "/a": "2755", "/a/b": "2755", "/a/b/c": "2755"} {
			var st syscall.Stat_t
			h.must(syscall.Stat(dir+"/setgid"+path, &st))
			h.equal("mode of /setgid"+path, fmt.Sprintf("%o", st.Mode&0o7777), want)
		}

		source := t.TempDir()
		h.must(os.WriteFile(source+"/file", []byte("text"), 0o644))
		for name, target := range map[string]string{"jump": "/tmp/foo/bar", "deep": "/home/jump/baz/hosts", "trailing": "/tmp/hosts", "tree": "/tmp/tree"} {
			h.must(os.Symlink(target, filepath.Join(dir, name)))
		}
		out := h.says("cat /tmp/foo/bar/baz/hosts /tmp/hosts /tmp/tree/file; cut -d' ' -f5 /proc/self/mountinfo | grep -c ^/tmp/",
			volume, bind(source+"/file", "/home/deep"), bind(source+"/file", "/home/trailing"), bind(source, "/home/tree"))
		h.equal("through links", out, "texttexttext3")

		out = h.says("grep -c '^tmpfs /dev tmpfs ro,' /proc/mounts; test -c /dev/null && touch /dev/new 2>&1 | grep -c Read-only", spec(func(s *specs.Spec) {
			for i := range s.Mounts {
				if s.Mounts[i].Destination == "/dev" {
					s.Mounts[i].Options = append(s.Mounts[i].Options, "ro")
				}
			}
		}))
		h.equal("/dev read-only", out, "1\n1")
	})
}

// TestIdentityTraps: a program that only CAP_DAC_OVERRIDE may execute; a value of the
// environment with a new line; a working directory that only the user, or only
// root, can enter; an exec of another user there.
func TestIdentityTraps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir, volume := h.volume()
		if out, err := exec.Command("cp", "/bin/busybox", dir+"/busybox").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		h.must(os.Chmod(dir+"/busybox", 0o700))
		user := oci.Compose(volume, oci.WithUserID(1000), oci.WithProcessArgs("/home/busybox", "echo", "ran"))
		if _, err := h.container(user, oci.WithCapabilities(nil)).NewTask(h.ctx, cio.NullIO); err == nil {
			t.Error("a program that its user may not execute: created")
		}
		caps := []string{"CAP_DAC_OVERRIDE"}
		task := h.start(user, oci.WithProcessArgs("/home/busybox", "sh", "-c", "echo ran; read x"), process(func(p *specs.Process) {
			p.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps, Inheritable: caps, Ambient: caps}
		}))
		task.expect("ran\n")
		task.kill()

		h.equal("environment", h.says(`echo "$TEXT"`, oci.WithEnv([]string{"TEXT=one\ntwo\n three"})), "one\ntwo\n three")

		for owner, uid := range map[int]uint32{42: 42, 0: 0} {
			private := fmt.Sprintf("%s/of-%d", dir, owner)
			h.must(os.Mkdir(private, 0o700))
			h.must(os.Chown(private, owner, owner))
			task := h.start(volume, oci.WithUserID(uid), oci.WithProcessCwd(fmt.Sprintf("/home/of-%d", owner)), forever())
			task.expect("ready")
			h.equal("exec there", task.says("pwd", oci.WithUserID(0)), fmt.Sprintf("/home/of-%d", owner))
			task.kill()
		}
	})
}

// TestUserNamespaceTraps: two sources that only the host's root can reach; a time
// namespace; a user namespace that is pinned by a bind mount, alone, and with a
// network namespace that belongs to somebody else.
func TestUserNamespaceTraps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const id = 100000
		var binds []oci.SpecOpts
		for i := range 2 {
			dir := t.TempDir()
			h.must(os.MkdirAll(dir+"/closed/dir", 0o755))
			h.must(os.WriteFile(dir+"/closed/dir/foo.txt", []byte("x"), 0o644))
			h.must(os.Chmod(dir+"/closed", 0o700))
			binds = append(binds, bind(dir+"/closed/dir", fmt.Sprintf("/tmp/mount-%d", i)))
		}
		out := h.says("cat /tmp/mount-0/foo.txt /tmp/mount-1/foo.txt; cat /proc/self/timens_offsets | tr -s ' \t' ' '",
			append(binds, userNamespace(id), namespace(specs.TimeNamespace, ""), spec(func(s *specs.Spec) {
				s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 7881, Nanosecs: 2718281}, "boottime": {Secs: 1337, Nanosecs: 3141519}}
			}))...)
		h.equal("closed sources, and offsets", out, "xxmonotonic 7881 2718281\nboottime 1337 3141519")

		first := h.start(userNamespace(id), forever())
		first.expect("ready")
		user, net := h.pin(fmt.Sprintf("/proc/%d/ns/user", first.Pid())), h.newNetwork()
		first.kill()
		joined := oci.Compose(userNamespace(id), namespace(specs.UserNamespace, user))
		out = h.says("cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; readlink /proc/self/ns/user", joined)
		var st syscall.Stat_t
		h.must(syscall.Stat(user, &st))
		maps := fmt.Sprintf(" 0 %d 65536\n", id)
		h.equal("in the pinned namespace", out, fmt.Sprintf("%s%suser:[%d]", maps, maps, st.Ino))

		task := h.start(joined, namespace(specs.NetworkNamespace, net), forever(), spec(func(s *specs.Spec) {
			for i, m := range s.Mounts {
				if m.Type == "sysfs" { // the network namespace is not the user namespace's to show
					s.Mounts[i] = specs.Mount{Destination: m.Destination, Type: "bind", Source: "/sys", Options: []string{"rbind"}}
				}
			}
		}))
		task.expect("ready")
		var n syscall.Stat_t
		h.must(syscall.Stat(net, &n))
		out = task.says("readlink /proc/self/ns/user; readlink /proc/self/ns/net")
		h.equal("another's network", out, fmt.Sprintf("user:[%d]\nnet:[%d]", st.Ino, n.Ino))
		task.kill()
	})
}

// pin keeps a namespace by a bind mount, to the end of the test.
func (h *harness) pin(ns string) string {
	h.Helper()
	path := filepath.Join(h.TempDir(), "ns")
	h.must(os.WriteFile(path, nil, 0o600))
	h.must(syscall.Mount(ns, path, "", syscall.MS_BIND, ""))
	h.Cleanup(func() { h.must(syscall.Unmount(path, syscall.MNT_DETACH)) })
	return path
}

// newNetwork makes a network namespace of the host's and pins it.
func (h *harness) newNetwork() (path string) {
	h.Helper()
	made, pinned := make(chan string), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			h.Error(err)
		}
		made <- fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		<-pinned
	}()
	defer close(pinned)
	return h.pin(<-made)
}

// TestNullKeepsItsOwner: the host's /dev/null, as a stream of another user's
// processes.
func TestNullKeepsItsOwner(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		owner := func() string {
			var st syscall.Stat_t
			h.must(syscall.Stat(os.DevNull, &st))
			return fmt.Sprintf("%d:%d %o", st.Uid, st.Gid, st.Mode)
		}
		before := owner()
		c := h.container(oci.WithUserID(1000), forever())
		task, err := c.NewTask(h.ctx, cio.NullIO)
		h.must(err)
		h.must(task.Start(h.ctx))
		s, err := c.Spec(h.ctx)
		h.must(err)
		s.Process.Args, s.Process.User = []string{"readlink", "/proc/self/fd/0"}, specs.User{UID: 1001, GID: 1001}
		e, err := task.Exec(h.ctx, "null", s.Process, cio.NullIO)
		h.must(err)
		exit, err := e.Wait(h.ctx)
		h.must(err)
		h.must(e.Start(h.ctx))
		if status := <-exit; status.ExitCode() != 0 {
			t.Errorf("exit code %d", status.ExitCode())
		}
		h.equal("/dev/null", owner(), before)
		_, err = e.Delete(h.ctx)
		h.must(err)
		_, err = task.Delete(h.ctx, client.WithProcessKill)
		h.must(err)
	})
}

// TestNullIsTheContainers: an entrypoint that gives its streams to another user, as
// mongo's does, may do so where they are the null device, and does it to the
// container's own.
func TestNullIsTheContainers(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		var before, after syscall.Stat_t
		h.must(syscall.Stat(os.DevNull, &before))
		c := h.container(sh("chown 999 /proc/1/fd/1 /proc/1/fd/2 && chmod 1666 /proc/1/fd/0 && stat -c %u:%a /dev/null | grep -q ^999:1666$"))
		task, err := c.NewTask(h.ctx, cio.NullIO)
		h.must(err)
		exit, err := task.Wait(h.ctx)
		h.must(err)
		h.must(task.Start(h.ctx))
		if status := <-exit; status.ExitCode() != 0 {
			t.Errorf("exit code %d", status.ExitCode())
		}
		_, err = task.Delete(h.ctx)
		h.must(err)
		h.must(syscall.Stat(os.DevNull, &after))
		h.equal("owner and mode", fmt.Sprint(after.Uid, after.Mode), fmt.Sprint(before.Uid, before.Mode))
	})
}

// TestWhatSystemdToldContainerd: the socket and the descriptors that systemd gives
// containerd's unit are not the containers'; one that the specification names is.
func TestWhatSystemdToldContainerd(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		root, err := bed.Root()
		h.must(err)
		cfg := config(root, "bin/test")
		cfg.Env = append(cfg.Env, "NOTIFY_SOCKET="+t.TempDir()+"/containerd", "LISTEN_FDS=1", "LISTEN_PID=1", "LISTEN_FDNAMES=x")
		own := newHarness(t, h.runtime, startAlone(t, cfg))
		out := own.says("env | grep -E 'NOTIFY|LISTEN' | wc -l; ls /proc/self/fd | wc -l")
		h.equal("in the environment, and descriptors", out, "0\n4") // of ls: its directory, too
		dir := t.TempDir()
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		h.must(err)
		defer unix.Close(fd)
		h.must(unix.Bind(fd, &unix.SockaddrUnix{Name: dir + "/notify"}))
		out = own.says(`test -S "$NOTIFY_SOCKET" && echo "$NOTIFY_SOCKET"`, bind(dir+"/notify", "/run/notify"), oci.WithEnv([]string{"NOTIFY_SOCKET=/run/notify"}))
		h.equal("a socket of its own", strings.TrimSpace(out), "/run/notify")
	})
}

// TestUserNamespaceDevicesTraps: a network device in a new user namespace, renamed;
// the terminal of another user there, whose group is the devpts's.
func TestUserNamespaceDevicesTraps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.says("ip -o link show dev ctr_dummy0 | grep -c ,UP; id -u", h.netDevice("ctr_dummy0"), userNamespace(100000))
		h.equal("renamed, and up", out, "1\n0")

		c := h.startTerminal(userNamespace(100000), oci.WithUser("1000:100"), sh("stat -c %u:%g $(tty); echo x >/dev/tty && echo ready; read x"))
		c.expect("1000:5\r\nx\r\nready\r\n")
		h.equal("exec", c.says("stat -c %u:%g $(tty)", oci.WithUser("1001:100"), oci.WithTTY), "1001:5")
		c.kill()
	})
}

// TestHookArguments: args[0] and the others are as the specification has them.
func TestHookArguments(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, args := range [][]string{{"touch", "/made"}, {"busybox", "touch", "/made"}} {
			out := h.says("ls /made", hook("startContainer", specs.Hook{Path: "/bin/busybox", Args: args}))
			h.equal(strings.Join(args, " "), out, "/made")
		}
	})
}

// TestListenerPathWithoutNotify is not looked at.
func TestListenerPathWithoutNotify(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.says("mkdir /tmp/foo && echo made", spec(func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/no/such/agent.sock", ListenerMetadata: "bar"}
		}))
		h.equal("stdout", out, "made")
	})
}

// TestCreateHookBeforeTheRootIsReadOnly: a createContainer hook may still write to
// the root directory, which it is in; the container may not.
func TestCreateHookBeforeTheRootIsReadOnly(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.says("cat /made; touch /new 2>&1 | grep -c Read-only", oci.WithRootFSReadonly(), hookScript("createContainer", "echo made >./made"))
		h.equal("stdout", out, "made\n1")
	})
}
