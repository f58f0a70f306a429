// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestCommandThatCannotRun fails Create, not Start, and says what is wrong.
func TestCommandThatCannotRun(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, test := range []struct {
			name string
			opt  oci.SpecOpts
			text string
		}{
			{"path", oci.WithProcessArgs("/no/such/command"), "/no/such/command"},
			{"in PATH", oci.WithProcessArgs("no-such-command"), "executable file not found in $PATH"},
			{"no x", oci.WithProcessArgs("/etc/passwd"), "permission denied"},
			{"a directory", oci.WithProcessArgs("/etc"), "/etc"},
			{"no x for the user", oci.Compose(oci.WithUser("1000"), oci.WithProcessArgs("/etc/unreadable")), "permission denied"},
		} {
			_, err := h.container(test.opt).NewTask(h.ctx, cio.NullIO)
			if err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s: %v; want an error with %q", test.name, err, test.text)
			}
		}
	})
}

// TestBadSpecs: each is refused at Create, naming the field, and nothing of it
// is left; the harness looks.
func TestBadSpecs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, test := range []struct {
			name string
			text string // in mini's error
			opt  oci.SpecOpts
		}{
			{"version", "ociversion", spec(func(s *specs.Spec) { s.Version = "none" })},
			{"no process", "process", spec(func(s *specs.Spec) { s.Process = nil })},
			{"namespace type", "namespace", namespace("imaginary", "")},
			{"namespace twice", "namespace", spec(func(s *specs.Spec) {
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "pid"})
			})},
			{"filesystem", "nosuchfs", mount("nosuchfs", "none", "/mnt")},
			{"mount option of no filesystem", "nosuchoption", mount("tmpfs", "tmpfs", "/mnt", "nosuchoption")},
			{"data on a bind mount", "size=5", bind("/tmp", "/mnt", "size=5")},
			{"propagation", "propagation", spec(func(s *specs.Spec) { s.Linux.RootfsPropagation = "sideways" })},
			{"device type", "device", spec(func(s *specs.Spec) {
				s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/x", Type: "q"})
			})},
			{"sysctl", "sysctl", spec(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"no.such": "1"} })},
			{"hostname without a uts namespace", "uts", oci.Compose(hostNamespace("uts"), oci.WithHostname("name"))},
			{"maps without a user namespace", "uidmappings", spec(func(s *specs.Spec) {
				s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
			})},
		} {
			_, err := h.container(sh("echo"), test.opt).NewTask(h.ctx, cio.NullIO)
			switch {
			case err == nil && (h.mini() || test.name != "maps without a user namespace" && test.name != "version"):
				t.Errorf("%s: it is created", test.name)
			case err == nil: // runc ignores it
				h.remove(h.lastID())
			case h.mini() && !strings.Contains(strings.ToLower(err.Error()), test.text):
				t.Errorf("%s: %v; want an error with %q", test.name, err, test.text)
			}
		}
	})
}

// lastID is the newest id that newID gave.
func (h *harness) lastID() string {
	h.count--
	return h.newID()
}

// TestBadRootfs: mounts that cannot be made.
func TestBadRootfs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, test := range []struct {
			text string
			opt  client.NewTaskOpts
		}{
			{"overlay", withRootfs("overlay", "lowerdir=/no/such/layer")},
			{"nosuchfs", withRootfs("nosuchfs")},
		} {
			_, err := h.container(sh("echo")).NewTask(h.ctx, cio.NullIO, test.opt)
			if err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v; want an error with %q", err, test.text)
			}
		}
	})
}

// TestFullTmpfs: the sentence says what was done, on what, and why it failed.
func TestFullTmpfs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		_, err := h.container(sh("echo"), mount("tmpfs", "tmpfs", "/mnt", "nr_inodes=1"), bind("/etc/passwd", "/mnt/file")).
			NewTask(h.ctx, cio.NullIO)
		if err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("%v; want no space left on device", err)
		}
	})
}

func TestDuplicateID(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		if _, err := c.c.NewTask(h.ctx, cio.NullIO); !errdefs.IsAlreadyExists(err) {
			t.Errorf("a second task: %v, want already exists", err)
		}
		h.equal("status", string(c.status()), string(client.Running))
		c.kill()
	})
}

// TestFailedCreateIsForgotten: the same container can be created after its
// reason to fail is gone.
func TestFailedCreateIsForgotten(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir := t.TempDir() + "/late"
		c := h.container(sh("ls /mnt; echo ran"), bind(dir, "/mnt"))
		if _, err := c.NewTask(h.ctx, cio.NullIO); err == nil {
			t.Fatal("it is created")
		}
		h.must(os.Mkdir(dir, 0o755))
		task, err := h.tryCreate(c)
		h.must(err)
		h.must(task.Start(h.ctx))
		task.wait()
		task.delete()
		h.equal("stdout", task.out.String(), "ran\n")
	})
}
