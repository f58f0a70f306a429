// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// daemonID is the uid and gid of Debian's user "daemon".
const daemonID = 1

// capsBut are all capabilities of the test but some.
func capsBut(without ...int) (caps []uintptr) {
	for i := range lastCap() + 1 {
		if heldCaps()&(1<<i) != 0 && !slices.Contains(without, i) {
			caps = append(caps, uintptr(i))
		}
	}
	return caps
}

// TestForeignMaps: a shim that is not root and has neither CAP_SETUID nor CAP_SETGID
// has its id maps written by newuidmap and newgidmap, as far as /etc/subuid and
// /etc/subgid allow; else Create says what is missing.
func TestForeignMaps(t *testing.T) {
	for i := range idMappers {
		if idMappers[i].find() == "" {
			testenv.Unavailable(t, "no %s: package uidmap", idMappers[i].program)
		}
	}
	testenv.User(t, daemonID, capsBut(unix.CAP_SETUID, unix.CAP_SETGID), func(t *testing.T) {
		over := func(path, text string) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount(file, path, "", unix.MS_BIND, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(path, 0); err != nil {
					t.Error(err)
				}
			})
		}
		over("/etc/subuid", "daemon:100000:65536\n")
		over("/etc/subgid", "daemon:100000:65536\n")
		own := func(t *testing.T, args ...string) *specs.Spec {
			spec := userSpec(t, args...)
			spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: daemonID, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65535}}
			spec.Linux.GIDMappings = spec.Linux.UIDMappings
			return spec
		}
		spec := own(t, "sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /tmp/x && stat -c %u:%g /tmp/x /vol")
		volume := t.TempDir()
		ids := []specs.LinuxIDMapping{{ContainerID: daemonID, HostID: 100007, Size: 1}}
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/vol", Source: volume, Options: []string{"bind"}, UIDMappings: ids, GIDMappings: ids})
		bundle, out := newBundle(t), newOutput(t)
		c := started(t, bundle, spec, out)
		maps := "         0          1          1\n         1     100000      65535\n"
		if got := out.read(t); got != "0\n"+maps+maps+"0:0\n8:8\n" {
			t.Errorf("got %q", got)
		}
		if s, err := c.Init().Wait(); err != nil || s.Code != 0 {
			t.Errorf("exit %+v, %v", s, err)
		}

		refused := func(why string, make func(t *testing.T, args ...string) *specs.Spec) {
			t.Helper()
			spec := make(t, "true")
			spec.Linux.CgroupsPath += "-refused"
			_, err := create(t, bundle, spec, nil)
			if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), why) {
				t.Errorf("got %v, want %q", err, why)
			}
		}
		over("/etc/subgid", "daemon:100000:1000\n")
		refused("map group ids: the shim has no CAP_SETGID: /usr/bin/newgidmap: exit status 1", own)
		over("/etc/subuid", "daemon:200000:65536\n")
		refused("range [1-65536) -> [100000-165535) not allowed", own)
		for _, dir := range mapperDirs {
			if path := filepath.Join(dir, "newuidmap"); unix.Access(path, unix.F_OK) == nil {
				if err := unix.Mount("/dev/null", path, "", unix.MS_BIND, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		refused("map user ids: the shim has no CAP_SETUID, and there is no newuidmap in [/usr/bin /bin ", own)
		refused("linux.uidMappings: the shim has no CAP_SETUID or no CAP_SETGID, so a container's root can be its own user and group 1:1 only, not 100000:100000", func(t *testing.T, args ...string) *specs.Spec { return userSpec(t, args...) })
	})
}

// TestPlainUser: a shim without CAP_SYS_ADMIN says that it can make no container.
func TestPlainUser(t *testing.T) {
	testenv.User(t, daemonID, capsBut(unix.CAP_SYS_ADMIN), func(t *testing.T) {
		_, err := create(t, t.TempDir(), newSpec(t, "true"), nil)
		if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "no CAP_SYS_ADMIN in its user namespace") {
			t.Errorf("got %v", err)
		}
	})
}
