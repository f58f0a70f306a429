// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// helperScript stands for mount.fuse: what it does is its mount's type.
const helperScript = `#!/bin/sh
for a; do echo "$a"; done >"$0.args"
echo "$NOTIFY_SOCKET$(pwd)$(cat)" >"$0.env"
for last; do :; done
case $last in
bind) exec mount --bind "$1" "$2" ;;
nothing) echo done ;;
fails) echo out; echo why >&2; exit 3 ;;
hangs) mount --bind "$1" "$2"; sleep 76543 & wait ;;
esac
`

// TestMountHelper: a helper has containerd's arguments and the shim's environment, and
// whatever becomes of it is told and leaves nothing.
func TestMountHelper(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNS, func(t *testing.T) {
		dir, image := t.TempDir(), newBundle(t)
		script := filepath.Join(dir, "mount.fuse")
		if err := os.WriteFile(script, []byte(helperScript), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":/usr/sbin:/usr/bin:/sbin:/bin")
		t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
		bundle := t.TempDir()
		try := func(ctx context.Context, fstype string, options ...string) (*Container, error) {
			return Create(ctx, &Config{
				ID: "helped", Bundle: bundle, Spec: newSpec(t, "true"), Record: func(Record) error { return nil },
				Rootfs: []specs.Mount{{Type: fstype, Source: image + "/rootfs", Options: options}},
			})
		}
		mounted := func() bool {
			info, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(string(info), " "+bundle)
		}

		c, err := try(t.Context(), "fuse.bind", "lowerdir=/a:/b", "ro", "x=1,y")
		if err != nil {
			t.Fatal(err)
		}
		args, err := os.ReadFile(script + ".args")
		if want := strings.Join([]string{image + "/rootfs", bundle + "/rootfs", "-o", "lowerdir=/a:/b", "-o", "ro", "-o", "x=1,y", "-t", "bind\n"}, "\n"); err != nil || string(args) != want {
			t.Errorf("arguments:\n%s\nwant\n%s, %v", args, want, err)
		}
		if env, err := os.ReadFile(script + ".env"); err != nil || string(env) != bundle+"\n" {
			t.Errorf("socket, directory, input: %q, %v", env, err)
		}
		if !mounted() {
			t.Error("the rootfs is not on the host, where hooks and servers look for it")
		}
		if err := c.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		_, werr := c.Init().Wait()
		if err := errors.Join(werr, c.Init().Close()); err != nil {
			t.Error(err)
		}
		if mounted() {
			t.Error("still mounted")
		}

		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, test := range []struct {
			ctx    context.Context
			fstype string
			want   string
			is     error
		}{
			{t.Context(), "fuse.fails", `mount rootfs fuse.fails on ` + bundle + `/rootfs: ` + script + `: exit status 3, stdout: "out\n", stderr: "why\n"`, nil},
			{t.Context(), "fuse.nothing", `mount rootfs fuse.nothing on ` + bundle + `/rootfs: ` + script + ` has mounted nothing`, nil},
			{limited, "fuse.hangs", `mount rootfs fuse.hangs on ` + bundle + `/rootfs: ` + script + `: killed: context deadline exceeded, stdout: "", stderr: ""`, context.DeadlineExceeded},
			{t.Context(), "fuse3.any", `mount rootfs fuse3.any on ` + bundle + `/rootfs: mount.fuse3 is not in the shim's PATH: exec: "mount.fuse3": executable file not found in $PATH: not implemented`, errdefs.ErrNotImplemented},
		} {
			if test.fstype == "fuse3.any" {
				t.Setenv("PATH", dir)
			}
			c, err := try(test.ctx, test.fstype)
			if err == nil {
				_ = c.Destroy(t.Context())
			}
			if err == nil || err.Error() != test.want || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if mounted() {
				t.Errorf("%s: left a mount", test.fstype)
			}
		}
		if n := len(processes(t, "76543")); n > 0 {
			t.Errorf("%d processes of a helper that was killed are left", n)
		}
	})
}

// processes are those with a word in their command line.
func processes(t *testing.T, word string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), "sleep\x00"+word) {
			found = append(found, file)
		}
	}
	return found
}
