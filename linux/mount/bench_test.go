// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// BenchmarkDefaultSpec is the shim's part of a container's filesystem, with
// containerd's default spec and an overlay of three layers, the median
// microseconds of each phase. The superblocks are the child's work and not counted.
func BenchmarkDefaultSpec(b *testing.B) {
	testenv.Root(b)
	image := testenv.Rootfs(b)
	dir := b.TempDir()
	for _, d := range []string{"/l1", "/l2", "/upper", "/work", "/bundle/rootfs", "/vol"} {
		if err := os.MkdirAll(dir+d, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	c := &Config{
		Spec:        defaultSpec(),
		Bundle:      dir + "/bundle",
		RootPath:    dir + "/bundle/rootfs",
		OwnNetNS:    true,
		OwnCgroupNS: true,
	}
	c.Rootfs = []specs.Mount{{Type: "overlay", Source: "overlay", Options: []string{
		"workdir=" + dir + "/work", "upperdir=" + dir + "/upper", "lowerdir=" + dir + "/l1:" + dir + "/l2:" + image,
	}}}
	c.Spec.Mounts = append(
		c.Spec.Mounts,
		bind("/etc/passwd", "/etc/hosts", "rbind", "ro"),
		bind(filepath.Join(dir, "vol"), "/vol", "rbind"),
	)
	phases := map[string][]time.Duration{}
	for b.Loop() {
		if err := sys.OnThread(func() error { return once(c, phases) }); err != nil {
			b.Fatal(err)
		}
	}
	for name, all := range phases {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1e3, "us-"+name)
	}
}

func once(c *Config, phases map[string][]time.Duration) error {
	if err := sys.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	last := time.Now()
	lap := func(name string) {
		phases[name] = append(phases[name], time.Since(last))
		last = time.Now()
	}
	s, err := Prepare(c)
	if err != nil {
		return err
	}
	defer s.Close()
	lap("prepare")
	if err := s.Begin(); err != nil {
		return err
	}
	lap("begin")
	var supers []*os.File
	for _, b := range s.Superblocks() {
		fd, err := b.make()
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), b.Target)
		defer f.Close()
		supers = append(supers, f)
	}
	lap("superblocks")
	if err := s.Mount(oneByOne(supers)); err != nil {
		return err
	}
	lap("mount")
	if err := s.Enter(); err != nil {
		return err
	}
	lap("enter")
	return nil
}
