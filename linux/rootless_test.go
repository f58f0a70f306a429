// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

const rootlessEnv = "MINI_TEST_ROOTLESS_CGROUP"

// rootless runs body as root of a user namespace that another tool has made, in a
// leaf of a cgroup that is delegated to it or not.
func rootless(t *testing.T, ids int, delegated bool, body func(t *testing.T, cgroup string)) {
	testenv.Root(t)
	const id = 100000
	if os.Getenv(rootlessEnv) == "" {
		dir := testenv.Cgroup(t)
		leaf := filepath.Join(dir, "leaf")
		if err := os.Mkdir(leaf, 0o755); err != nil {
			t.Fatal(err)
		}
		if delegated {
			for _, f := range []string{"", "/cgroup.procs", "/cgroup.subtree_control", "/leaf", "/leaf/cgroup.procs"} {
				if err := os.Chown(dir+f, id, id); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Setenv(rootlessEnv, leaf)
	}
	leaf := os.Getenv(rootlessEnv)
	testenv.Rootless(t, id, ids, leaf, func(t *testing.T) {
		root, err := testenv.CgroupRoot()
		if err != nil {
			t.Fatal(err)
		}
		body(t, strings.TrimPrefix(filepath.Dir(leaf), root))
	})
}

// TestRootless: containers of a user who is root in a user namespace only, with a
// cgroup of its own: devices are bound, there is no device filter, and the rest is
// as it is for the host's root, a user namespace in the user namespace included.
func TestRootless(t *testing.T) {
	rootless(t, 65536, true, func(t *testing.T, cgroup string) {
		for _, nested := range []bool{false, true} {
			spec := newSpec(t, "sh", "-c", "id -u; cat /proc/self/uid_map; echo x >/dev/null && touch /made /tmp/made && stat -c %u /made; hostname; umount /proc 2>/dev/null || echo kept; stat -c %t:%T /zero")
			spec.Linux.CgroupsPath = filepath.Join(cgroup, "container")
			limit := int64(-1)
			spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}, Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}}
			spec.Linux.Devices = []specs.LinuxDevice{{Path: "/zero", Type: "c", Major: 1, Minor: 5}}
			want := "0\n         0     100000      65536\n0\nmini\nkept\n1:5\n"
			if nested {
				spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
				spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 1000}}
				spec.Linux.GIDMappings = spec.Linux.UIDMappings
				want = strings.Replace(want, "100000      65536", "  1000       1000", 1)
			}
			bundle := newBundle(t)
			if err := os.WriteFile(bundle+"/rootfs/zero", nil, 0o600); err != nil { // of an earlier container
				t.Fatal(err)
			}
			if nested {
				if err := errors.Join(os.Chown(bundle+"/rootfs", 1000, 1000), os.Chown(bundle+"/rootfs/tmp", 1000, 1000)); err != nil {
					t.Fatal(err)
				}
			}
			for dir := bundle; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			out := newOutput(t)
			c, err := Create(t.Context(), &Config{ID: "rootless", Bundle: bundle, Spec: spec, Stdio: [3]*os.File{nil, out.w, out.w}, Record: func(Record) error { return nil }})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := c.Init().Wait(); err != nil {
				t.Error(err)
			}
			if err := errors.Join(c.Destroy(t.Context()), c.Init().Close()); err != nil {
				t.Error(err)
			}
			if got := out.read(t); got != want {
				t.Errorf("nested %v: got %q, want %q", nested, got, want)
			}
		}
	})
}

// TestRootlessWithoutDelegation: Create says that it may not make the cgroup.
func TestRootlessWithoutDelegation(t *testing.T) {
	rootless(t, 65536, false, func(t *testing.T, cgroup string) {
		spec := newSpec(t, "true")
		spec.Linux.CgroupsPath = filepath.Join(cgroup, "container")
		_, err := Create(t.Context(), &Config{ID: "rootless", Bundle: newBundle(t), Spec: spec, Record: func(Record) error { return nil }})
		if !errors.Is(err, os.ErrPermission) || !bytes.Contains([]byte(err.Error()), []byte(cgroup)) {
			t.Errorf("%v; want a permission error that names the cgroup", err)
		}
	})
}

// TestNamespaceLimit: where a limit of namespaces is reached, Create says so, and not
// that a device is full, which is what the kernel says.
func TestNamespaceLimit(t *testing.T) {
	rootless(t, 65536, true, func(t *testing.T, cgroup string) {
		if err := os.WriteFile("/proc/sys/user/max_ipc_namespaces", []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
		spec := newSpec(t, "true")
		spec.Linux.CgroupsPath = filepath.Join(cgroup, "container")
		_, err := Create(t.Context(), &Config{ID: "rootless", Bundle: newBundle(t), Spec: spec, Record: func(Record) error { return nil }})
		const want = "clone process: a limit of namespaces in /proc/sys/user, or of 32 nested ones, is reached: clone3: no space left on device"
		if !errors.Is(err, unix.ENOSPC) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// TestRootlessWithOneID: containers of a user who has no id but its own. There the
// kernel denies setgroups(2), and the groups that an image lists are left out.
func TestRootlessWithOneID(t *testing.T) {
	rootless(t, 1, true, func(t *testing.T, cgroup string) {
		spec := newSpec(t, "sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/setgroups; echo ready; sleep 1000")
		spec.Linux.CgroupsPath = filepath.Join(cgroup, "container")
		spec.Process.User.AdditionalGids = []uint32{1, 5}
		spec.Mounts[2].Options = []string{"newinstance", "ptmxmode=0666"} // without "gid=5"
		var warnings []string
		out := newOutput(t)
		c, err := Create(t.Context(), &Config{
			ID: "rootless", Bundle: newBundle(t), Spec: spec, Stdio: [3]*os.File{nil, out.w, out.w}, Record: func(Record) error { return nil },
			Warn: func(err error) { warnings = append(warnings, err.Error()) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Error(err)
		}
		want := "0\n         0     100000          1\ndeny\nready\n"
		if got := out.until(t, "ready\n"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if text, code := execIn(t, c, &specs.Process{Args: []string{"id", "-u"}, Cwd: "/", Env: []string{"PATH=/bin"}, User: specs.User{AdditionalGids: []uint32{5}}}); text != "0\n" || code != 0 {
			t.Errorf("exec: exit code %d, %q", code, text)
		}
		if len(warnings) != 2 || !strings.Contains(warnings[0], "process.user.additionalGids: not set") || warnings[1] != warnings[0] {
			t.Errorf("warnings %q", warnings)
		}
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
		if _, err := c.Init().Wait(); err != nil {
			t.Error(err)
		}
		if err := errors.Join(c.Destroy(t.Context()), c.Init().Close()); err != nil {
			t.Error(err)
		}
	})
}
