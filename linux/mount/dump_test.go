// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"flag"
	"os"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The order of everything, as text.
func TestDump(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
	}{
		{"default", func(*Config) {}},
		{"everything", func(c *Config) {
			c.UserNS, c.RootUID, c.RootGID, c.OwnNetNS, c.OwnCgroupNS = true, 100000, 200000, false, false
			c.CgroupMount, c.CgroupDir = "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/x"
			c.Terminal, c.NoPivotRoot = true, true
			c.Rootfs = []specs.Mount{
				{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/l1:/l2", "upperdir=/u", "workdir=/w"}},
				{Type: "bind", Source: "/data", Destination: "data", Options: []string{"rbind", "ro"}},
			}
			c.Spec.Root.Readonly, c.Spec.Process.Cwd, c.Spec.Linux.RootfsPropagation = true, "/work", "rshared"
			c.Spec.Mounts = append(c.Spec.Mounts,
				specs.Mount{Type: "cgroup", Destination: "/sys/fs/cgroup", Source: "cgroup", Options: []string{"ro", "nsdelegate"}},
				specs.Mount{
					Destination: "relative/dest",
					Source:      "relative/source",
					Options:     []string{"rbind", "rro", "nosuid", "rslave"},
				},
				specs.Mount{Destination: "/inside", Source: "rootfs/data", Options: []string{"bind"}},
				specs.Mount{
					Type:        "ext4",
					Destination: "/disk",
					Source:      "/dev/sdz",
					Options:     []string{"sync", "data=journal", "noatime", "shared"},
				},
				specs.Mount{Type: "xfs", Destination: "/disk2", Source: "/dev/sdy", Options: []string{"iversion"}},
				specs.Mount{Type: "tmpfs", Destination: "/up", Source: "t", Options: []string{"tmpcopyup", "ro"}},
				specs.Mount{Destination: "/run", Options: []string{"remount", "nodev"}})
			c.Spec.Linux.Devices = []specs.LinuxDevice{
				{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229},
				{Path: "/dev/p", Type: "p"},
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := &Config{Spec: defaultSpec(), Bundle: "/bundle", RootPath: "/bundle/rootfs", OwnNetNS: true, OwnCgroupNS: true}
			c.change(cfg)
			s, err := newSet(cfg)
			must(t, err)
			got := s.Dump()
			file := "testdata/" + c.name + ".golden"
			if *update {
				must(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			must(t, err)
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
