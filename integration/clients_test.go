// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// How clients other than ctr name the runtime, and the options they send it.

// ioOwner is the owner of the stdio of a process of user and group 1000: of its
// user, and of the group that the options say.
func (h *harness) ioOwner() string {
	h.Helper()
	out, errs, code := h.run(oci.WithUser("1000:1000"), sh("stat -Lc %u:%g /proc/self/fd/2"))
	if code != 0 {
		h.Fatalf("exit code %d, stderr %q", code, errs)
	}
	return strings.TrimSpace(out)
}

// TestOptionsAsClientsSendThem: none, runc's own from nerdctl, Docker and the Go
// client, and the generic ones from CRI, whose type had another name before 1.3.
func TestOptionsAsClientsSendThem(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		file := filepath.Join(t.TempDir(), "options.toml")
		text := "# of mini\nBinaryName = '/usr/bin/runc'\nSystemdCgroup = false\nIoUid = 1000\nIoGid = 1000\n"
		h.must(os.WriteFile(file, []byte(text), 0o600))
		body, err := proto.Marshal(&runtimeoptions.Options{TypeUrl: "containerd.runc.v1.Options", ConfigBody: []byte(text)})
		h.must(err)
		for name, test := range map[string]struct {
			options any
			owner   string
		}{
			"none":          {nil, "1000:0"},
			"empty runc":    {&options.Options{}, "1000:0"},
			"runc":          {&options.Options{IoUid: 1000, IoGid: 1000, BinaryName: "runc", Root: h.d.Dir + "/runc"}, "1000:1000"},
			"empty generic": {&runtimeoptions.Options{}, "1000:0"},
			"body":          {&runtimeoptions.Options{ConfigBody: []byte(text)}, "1000:1000"},
			"path":          {&runtimeoptions.Options{ConfigPath: file}, "1000:1000"},
			"old name":      {&anypb.Any{TypeUrl: "cri.runtimeoptions.v1.Options", Value: body}, "1000:1000"},
			"URL with host": {&anypb.Any{TypeUrl: "type.googleapis.com/runtimeoptions.v1.Options", Value: body}, "1000:1000"},
		} {
			if !h.mini() && !strings.Contains(name, "runc") && test.options != nil {
				continue // runc's shim takes its own only
			}
			h.options = test.options
			h.equal(name, h.ioOwner(), test.owner)
		}
	})
}

// TestOptionsThatAreNone of this runtime's fail the start of the shim or Create,
// and say what is wrong.
func TestOptionsThatAreNone(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		for text, options := range map[string]any{
			"line 1":            &runtimeoptions.Options{ConfigBody: []byte("this is = = not toml")},
			"no such file":      &runtimeoptions.Options{ConfigPath: "/nonexistent/options.toml"},
			"SystemdCgruop":     &runtimeoptions.Options{ConfigBody: []byte("SystemdCgruop = true")},
			"runhcs.v1.Options": &anypb.Any{TypeUrl: "containerd.runhcs.v1.Options", Value: []byte{8, 1}},
		} {
			h.options = options
			_, err := h.container(sh("echo")).NewTask(h.ctx, cio.NullIO)
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%v; want an error with %q", err, text)
			}
		}
	})
}

// copyOfShim copies mini's binary, alone, to another directory under the name.
func (h *harness) copyOfShim(name string) string {
	h.Helper()
	data, err := os.ReadFile("../bin/test/containerd-shim-mini-v2")
	h.must(err)
	path := filepath.Join(h.TempDir(), name)
	h.must(os.WriteFile(path, data, 0o755))
	return path
}

// TestShimByPath: the runtime may be named by the path of its shim, wherever
// that is; after a restart containerd finds it again, and has it clean up.
func TestShimByPath(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, _ string) {
		h.runtime = h.copyOfShim("containerd-shim-mini-v2")
		h.equal("stdout", h.prints("echo by path"), "by path")
		h.restartAndDeath(nil)
	})
}

// TestRuntimePath: the runtime is called runc's and is mini, as with
// `runtime_path` in CRI's configuration, where it is treated as runc is.
func TestRuntimePath(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, _ string) {
		h.runtime = runc
		path := client.WithRuntimePath(h.copyOfShim("any-name-at-all"))
		h.options = &options.Options{BinaryName: "/nonexistent/runc"} // mini does not ask it
		c, err := h.tryCreate(h.container(sh("echo from mini; exit 3")), path)
		h.must(err)
		h.must(c.Start(h.ctx))
		if code := c.wait(); code != 3 {
			t.Errorf("exit code %d, want 3", code)
		}
		h.equal("stdout", c.out.String(), "from mini\n")
		c.delete()
		h.restartAndDeath(path)
	})
}

// restartAndDeath restarts containerd under a container, and kills its shim.
func (h *harness) restartAndDeath(path client.NewTaskOpts) {
	h.Helper()
	var opts []client.NewTaskOpts
	if path != nil {
		opts = append(opts, path)
	}
	c, err := h.tryCreate(h.container(forever()), opts...)
	h.must(err)
	h.must(c.Start(h.ctx))
	c.expect("ready")
	h.must(h.d.Kill())
	h.must(h.d.Restart(h.ctx))
	c.reload()
	out, _, _ := c.execs(sh("echo exec"))
	h.equal("exec after a restart", out, "exec\n")
	h.must(syscall.Kill(c.shim(), syscall.SIGKILL))
	<-c.exit
	h.eventually(func() error { // containerd runs the shim's `delete`
		if left, err := os.ReadDir(h.d.StateDir()); len(left) > 0 {
			return os.ErrExist
		} else if !os.IsNotExist(err) {
			return err
		}
		return nil
	})
	_, _ = c.Delete(h.ctx) // containerd may have forgotten it already
	h.must(c.c.Delete(h.ctx, client.WithSnapshotCleanup))
}
