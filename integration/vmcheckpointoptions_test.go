// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestVMCheckpointOptions: what has to be allowed is refused without, and the
// container goes on.
func TestVMCheckpointOptions(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	// echoes is a connection of the container with itself.
	const echoes = `nc -l -p 7777 -e cat & sleep 1; i=0; while :; do i=$((i+1)); echo n$i; sleep 0.05; done | nc 127.0.0.1 7777`
	eachIfFull(t, func(t *testing.T, h *harness) {
		for _, c := range []struct {
			name    string
			opts    []oci.SpecOpts
			allow   func(*options.CheckpointOptions)
			restore bool // with runc's shim too: it has no way to say at the restore what is allowed
		}{
			{"tcp", []oci.SpecOpts{sh(echoes), oci.WithHostNamespace(specs.NetworkNamespace)}, func(o *options.CheckpointOptions) { o.OpenTcp = true }, false},
			{"locks", []oci.SpecOpts{testBinary(), oci.WithProcessArgs("/test"), oci.WithEnv([]string{lockHelper + "=1"})}, func(o *options.CheckpointOptions) { o.FileLocks = true }, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				h := newHarness(t, h.runtime, h.d)
				task, dir := h.start(c.opts...), h.TempDir()
				task.expect("n3\n")
				if err := task.checkpoint(dir+"/1", &options.CheckpointOptions{}); err == nil {
					t.Error("a checkpoint without the option succeeds")
				} else if h.mini() && !strings.Contains(err.Error(), "criu") {
					t.Errorf("the error does not name criu: %v", err)
				}
				before := len(task.numbers())
				h.eventually(func() error {
					if len(task.numbers()) <= before {
						return fmt.Errorf("the container does not go on: %q", task.out)
					}
					return nil
				})
				o := &options.CheckpointOptions{Exit: true}
				c.allow(o)
				h.must(task.checkpoint(dir+"/2", o))
				task.ended()
				if h.mini() || c.restore {
					r := h.restore(task.c, dir+"/2")
					r.goesOn(task)
					r.kill()
				}
			})
		}
	})
}

// lockHelper is set in the environment of a test binary that is to be lockAndCount.
const lockHelper = "MINI_TEST_LOCK"

// testBinary binds this program into the container: busybox has none that locks.
func testBinary() oci.SpecOpts {
	return oci.WithMounts([]specs.Mount{{Destination: "/test", Type: "bind", Source: must(os.Executable()), Options: []string{"bind", "ro"}}})
}

// lockAndCount holds a lock and prints numbers, each once.
func lockAndCount() {
	f := must(os.Create("/locked"))
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		panic(err)
	}
	for i := 1; ; i++ {
		fmt.Printf("n%d\n", i)
		time.Sleep(50 * time.Millisecond)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestVMCheckpointOfAnExternalSocket: a datagram socket that is connected to
// somebody outside is connected to whoever is there after the restore.
func TestVMCheckpointOfAnExternalSocket(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	miniOnly(t, func(t *testing.T, h *harness) { // runc's shim cannot allow it at the restore
		dir, images := h.TempDir(), h.TempDir()
		log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: dir + "/log"})
		h.must(err)
		defer log.Close()
		hears := func() {
			t.Helper()
			h.must(log.SetReadDeadline(time.Now().Add(testenv.Patience(20 * time.Second))))
			_, _, err := log.ReadFromUnix(make([]byte, 100))
			h.must(err)
		}
		// The socket has the same path inside: criu knows it by its address.
		bind := oci.WithMounts([]specs.Mount{{Destination: dir, Type: "bind", Source: dir, Options: []string{"rbind", "rw"}}})
		// On the host's network: criu finds the other end nowhere else.
		c := h.start(bind, hostNamespace("network"), sh("ln -s "+dir+"/log /dev/log; while :; do echo x; sleep 0.05; done | logger"))
		hears()
		if err := c.checkpoint(images+"/1", &options.CheckpointOptions{}); err == nil {
			t.Error("a checkpoint without the option succeeds")
		}
		hears()
		h.must(c.checkpoint(images+"/2", &options.CheckpointOptions{ExternalUnixSockets: true, Exit: true}))
		c.ended()
		for log.SetReadDeadline(time.Now().Add(100*time.Millisecond)) == nil {
			if _, _, err := log.ReadFromUnix(make([]byte, 100)); err != nil {
				break
			}
		}
		r := h.restore(c.c, images+"/2")
		hears()
		r.kill()
	})
}

// TestVMCheckpointChain: a checkpoint that adds to an earlier one. With runc's shim
// none can: it has no way to begin a chain.
func TestVMCheckpointChain(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	miniOnly(t, func(t *testing.T, h *harness) {
		c, dir := h.start(count()), h.TempDir()
		c.expect("n3\n")
		h.must(c.checkpoint(dir+"/1", &options.CheckpointOptions{}))
		h.must(c.checkpoint(dir+"/2", &options.CheckpointOptions{Exit: true, ParentPath: "../1", WorkPath: dir + "/work"}))
		c.ended()
		if _, err := os.Stat(dir + "/work/dump.log"); err != nil {
			t.Errorf("the log is not in the work path: %v", err)
		}
		if link, err := os.Readlink(dir + "/2/parent"); err != nil || link != "../1" {
			t.Errorf("parent: %q, %v", link, err)
		}
		r := h.restore(c.c, dir+"/2")
		r.goesOn(c)
		r.kill()
	})
}

// TestVMCheckpointOfAPod: namespaces by path are joined again; what is bound from
// outside is bound again.
func TestVMCheckpointOfAPod(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	eachIfFull(t, func(t *testing.T, h *harness) {
		pod, dir := h.start(forever()), h.TempDir()
		pod.expect("ready")
		h.must(os.WriteFile(dir+"/file", []byte("from outside"), 0o600))
		join := func(kind specs.LinuxNamespaceType, name string) oci.SpecOpts {
			return oci.WithLinuxNamespace(specs.LinuxNamespace{Type: kind, Path: fmt.Sprintf("/proc/%d/ns/%s", pod.Pid(), name)})
		}
		c := h.start(count(), join(specs.NetworkNamespace, "net"), join(specs.IPCNamespace, "ipc"), join(specs.UTSNamespace, "uts"),
			oci.WithMounts([]specs.Mount{
				{Destination: "/file", Type: "bind", Source: dir + "/file", Options: []string{"rbind", "ro"}},
				{Destination: "/data/dir", Type: "bind", Source: dir, Options: []string{"rbind", "rw"}},
			}))
		c.expect("n3\n")
		h.must(c.checkpoint(dir+"/images", &options.CheckpointOptions{Exit: true}))
		c.ended()
		r := h.restore(c.c, dir+"/images")
		r.goesOn(c)
		for _, name := range []string{"net", "ipc", "uts"} {
			h.equal(name, h.readlink(r, name), h.readlink(pod, name))
		}
		for _, name := range []string{"pid", "mnt"} {
			if h.readlink(r, name) == h.readlink(pod, name) {
				t.Errorf("%s namespace is the pod's", name)
			}
		}
		out, errs, _ := r.execs(sh("cat /file /data/dir/file; echo x > /file; echo y > /data/dir/new; ls /data/dir"))
		h.equal("files", out, "from outsidefrom outsidefile\nimages\nnew\n")
		if !strings.Contains(errs, "Read-only") {
			t.Errorf("a read-only bind was written to: %q", errs)
		}
		r.kill()
		pod.kill()
	})
}

// TestVMRestoreIntoAPIDNamespace: what criu restores into the pid namespace of others is
// visible there before it is the container's, so none of them may have CAP_SYS_PTRACE.
func TestVMRestoreIntoAPIDNamespace(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	miniOnly(t, func(t *testing.T, h *harness) {
		pod, dir := h.start(forever()), h.TempDir()
		pod.expect("ready")
		c := h.start(count(), pod.join())
		c.expect("n3\n")
		h.must(c.checkpoint(dir, &options.CheckpointOptions{Exit: true}))
		c.ended()
		tracer := h.start(forever(), pod.join(), oci.WithAddedCapabilities([]string{"CAP_SYS_PTRACE"}))
		tracer.expect("ready")
		if _, err := h.tryCreate(c.c, client.WithRestoreImagePath(dir)); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("with a tracer: got %v", err)
		}
		tracer.kill()
		r := h.restore(c.c, dir)
		r.goesOn(c)
		h.equal("pid namespace", h.readlink(r, "pid"), h.readlink(pod, "pid"))
		r.kill()
		pod.kill()
	})
}

// readlink names a namespace of a task.
func (h *harness) readlink(t *task, name string) string {
	h.Helper()
	s, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", t.Pid(), name))
	h.must(err)
	return s
}

// TestVMCheckpointRefused: what is wrong is said, and nothing is left of it.
func TestVMCheckpointRefused(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	miniOnly(t, func(t *testing.T, h *harness) {
		c, dir := h.start(count()), h.TempDir()
		c.expect("n3\n")
		h.must(os.Symlink("/etc", dir+"/link"))
		for name, o := range map[string]*options.CheckpointOptions{
			"cgroups mode":    {CgroupsMode: "sometimes"},
			"empty namespace": {EmptyNamespaces: []string{"mount"}},
			"parent path":     {ParentPath: dir},
		} {
			if err := c.checkpoint(dir+"/images", o); !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if err := c.checkpoint(dir+"/link", &options.CheckpointOptions{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("a link: got %v", err)
		}
		h.must(c.checkpoint(dir+"/images", &options.CheckpointOptions{Exit: true}))
		c.ended()

		for name, spoil := range map[string]func(dir string) error{
			"a link":       func(dir string) error { return os.Symlink("/etc/passwd", dir+"/pages-9.img") },
			"no streams":   func(dir string) error { return os.Remove(dir + "/descriptors.json") },
			"no inventory": func(dir string) error { return os.Remove(dir + "/inventory.img") },
			"cut off":      func(dir string) error { return os.Truncate(dir+"/core-1.img", 100) },
			"noise": func(dir string) error {
				return os.WriteFile(dir+"/pstree.img", []byte(strings.Repeat("x", 1<<16)), 0o600)
			},
		} {
			bad := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			h.must(os.CopyFS(bad, os.DirFS(dir+"/images")))
			h.must(spoil(bad))
			if err := h.restoreRefused(bad); err == nil {
				t.Errorf("%s: restored", name)
			}
		}
		few := oci.WithCapabilities([]string{"CAP_CHOWN"})
		if err := h.restoreRefused(dir+"/images", few); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("more capabilities than the container has: got %v", err)
		}
		h.must(c.c.Delete(h.ctx, client.WithSnapshotCleanup))
	})
}
