// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// layered is a Config whose rootfs is an overlay on a busybox with n layers more.
func layered(t *testing.T, n int, pad string) *Config {
	t.Helper()
	c := bundle(t)
	image := c.RootPath
	dir := t.TempDir()
	var layers []string
	for i := range n {
		layer := filepath.Join(dir, "snapshots"+pad, fmt.Sprint(i), "fs")
		write(t, filepath.Join(layer, "layers", fmt.Sprint(i)), "x")
		layers = append(layers, layer)
	}
	c.Bundle = t.TempDir()
	c.RootPath = c.Bundle + "/rootfs"
	must(t, os.MkdirAll(dir+"/upper", 0o755), os.MkdirAll(dir+"/work", 0o755))
	c.Rootfs = []specs.Mount{{Type: "overlay", Source: "overlay", Options: []string{
		"workdir=" + dir + "/work", "upperdir=" + dir + "/upper", "lowerdir=" + strings.Join(append(layers, image), ":"),
	}}}
	return c
}

// Few layers fit mount(2), more when they are relative, and as many as an overlay
// may have (500) when they are descriptors.
func TestOverlayLayers(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		for _, c := range []struct {
			n   int
			pad string
		}{{1, ""}, {60, strings.Repeat("p", 40)}, {120, ""}, {499, ""}} {
			cfg := layered(t, c.n, c.pad)
			k := start(t, cfg)
			k.want("ls /layers | wc -l; touch /made && echo ok", fmt.Sprintf("%d\nok", c.n))
			if _, _, fstype, source, _ := k.mountinfo("/"); fstype != "overlay" || source != "overlay" {
				t.Errorf("%d layers: the root is %s %s", c.n, fstype, source)
			}
			// Nothing of it is mounted on the host.
			empty(t, cfg.RootPath)
		}
	})
}

func TestSplitLayers(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"/a:/b", "/a : /b"},
		{`/a\:b:/c`, "/a:b : /c"},
		{"/a::/data1::/data2", "/a : : /data1 : : /data2"},
		{"/a", "/a"},
	} {
		if got := strings.Join(splitLayers(c.in), " "); got != c.want {
			t.Errorf("%s: %s", c.in, got)
		}
	}
}

func TestCompact(t *testing.T) {
	for _, c := range []struct{ in, dir, want string }{
		{"lowerdir=/x/snapshots/1/fs:/x/snapshots/22/fs", "/x/snapshots", "lowerdir=1/fs:22/fs"},
		{"lowerdir=/x/ab:/x/a", "/x", "lowerdir=ab:a"},
		{"lowerdir=/x/a:/y/b", "", "lowerdir=/x/a:/y/b"},
		{"lowerdir=/one/dir", "/one", "lowerdir=dir"},
		{"lowerdir=rel:/x", "", "lowerdir=rel:/x"},
		{`lowerdir=/x/a\:b:/x/c`, "", `lowerdir=/x/a\:b:/x/c`},
		{"upperdir=/x", "", "upperdir=/x"},
	} {
		dir, got := compact([]string{"workdir=/w", c.in})
		if dir != c.dir || got[1] != c.want || got[0] != "workdir=/w" {
			t.Errorf("%s: got %s, %v", c.in, dir, got)
		}
	}
}

// Several mounts, one inside another, and the root read-only.
func TestRootfsMounts(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t)
		image, vol := c.RootPath, t.TempDir()
		write(t, vol+"/file", "vol")
		must(t, os.Mkdir(image+"/vol", 0o755))
		c.Bundle = t.TempDir()
		c.RootPath = c.Bundle + "/rootfs"
		c.Rootfs = []specs.Mount{
			{Type: "bind", Source: image, Options: []string{"rbind", "ro"}},
			{Type: "bind", Source: vol, Destination: "/vol", Options: []string{"rbind", "rw"}},
			{Type: "tmpfs", Source: "tmpfs", Destination: "tmp", Options: []string{"size=1m", "nosuid", "rprivate"}},
		}
		c.Spec.Process.Cwd = "/vol"
		k := start(t, c)
		k.want("cat /vol/file; touch /x; touch /tmp/x && echo ok", "voltouch: /x: Read-only file system\nok")
		k.wantMount("/tmp", "tmpfs", "rw,nosuid,relatime")
		empty(t, c.RootPath)
	})
}

func TestRootfsErrors(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		for _, c := range []struct {
			mount specs.Mount
			want  string
			is    error
		}{
			{
				specs.Mount{Type: "overlay", Options: []string{"lowerdir=/nowhere:/tmp"}},
				"/rootfs: lowerdir /nowhere: mount: no such file or directory",
				unix.ENOENT,
			},
			{
				specs.Mount{Type: "ext4", Source: "/dev/nosuch"},
				"/rootfs: source /dev/nosuch: mount: no such file or directory",
				unix.ENOENT,
			},
			{specs.Mount{Type: "nosuchfs", Source: "x"}, `/rootfs: the kernel has no file system of type "nosuchfs": mount: no such device`, unix.ENODEV},
			{
				specs.Mount{Type: "bind", Source: "/nowhere", Options: []string{"rbind"}},
				"open_tree /nowhere: no such file or directory",
				unix.ENOENT,
			},
			{specs.Mount{Type: "", Source: "/tmp"}, "rootfs[0].type: empty", errdefs.ErrInvalidArgument},
			{specs.Mount{Type: "fuse.x"}, "rootfs[0].type: fuse.x", errdefs.ErrNotImplemented},
			{
				specs.Mount{Type: "overlay", Options: []string{"uidmap=0:1:2"}},
				"rootfs[0].options: one of uidmap and gidmap without the other",
				errdefs.ErrInvalidArgument,
			},
			{specs.Mount{Type: "overlay", Options: []string{"uidmap=0:1", "gidmap=0:1:2"}}, `rootfs[0].options: uidmap=0:1: "0:1" is not CONTAINER:HOST:SIZE`, errdefs.ErrInvalidArgument},
			{
				specs.Mount{Type: "overlay", Options: []string{"uidmap=0:1:2", "gidmap=0:1:2,2:2:1"}},
				"rootfs[0].options: gidmap: 2:2:1 overlaps another range",
				errdefs.ErrInvalidArgument,
			},
			{
				specs.Mount{Type: "bind", Source: "/tmp", Options: []string{"rbind", "ridmap"}},
				"rootfs[0].options: ridmap",
				errdefs.ErrNotImplemented,
			},
			{
				specs.Mount{Type: "overlay", Options: []string{"X-containerd.mkdir.path=/x"}},
				"rootfs[0].options: X-containerd.mkdir.path=/x is for",
				errdefs.ErrInvalidArgument,
			},
		} {
			cfg := bundle(t)
			cfg.Rootfs = []specs.Mount{c.mount}
			_, err := create(t, cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) || !is(err, c.is) {
				t.Errorf("%v: got %v, want %s", c.mount, err, c.want)
			}
		}
		for path, want := range map[string]error{"/nowhere": unix.ENOENT, "/etc/passwd": unix.ENOTDIR} {
			cfg := bundle(t)
			cfg.RootPath = path
			if _, err := create(t, cfg); !is(err, want) || !strings.Contains(err.Error(), path) {
				t.Errorf("root.path %s: got %v, want %v", path, err, want)
			}
		}
	})
}

// An image file behind a loop device, which goes away with the container.
func TestRootfsLoop(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		if _, err := os.Stat("/dev/loop-control"); err != nil {
			testenv.Unavailable(t, "no loop devices: %v", err)
		}
		mkfs, err := exec.LookPath("mkfs.ext4")
		if err != nil {
			testenv.Unavailable(t, "no mkfs.ext4")
		}
		c := bundle(t)
		image := t.TempDir() + "/image"
		if out, err := exec.Command(mkfs, "-q", "-d", c.RootPath, image, "16m").CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
		c.Bundle = t.TempDir()
		c.RootPath = c.Bundle + "/rootfs"
		c.Rootfs = []specs.Mount{{Type: "ext4", Source: image, Options: []string{"loop", "noatime"}}}
		k := start(t, c)
		k.wantMount("/", "ext4", "rw,noatime")
		k.want("touch /x && echo ok", "ok")
	})
}

// With hooks the rootfs is mounted where the host sees it, until Undo.
func TestHostVisibleRootfs(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := layered(t, 100, strings.Repeat("p", 40))
		c.HostVisibleRootfs = true
		c.Spec.Mounts = append(c.Spec.Mounts, bind("rootfs/layers", "/inside"))
		wd, err := os.Getwd()
		must(t, err)
		k := start(t, c)
		if after, err := os.Getwd(); err != nil || after != wd {
			t.Errorf("the working directory was %s, is %s, %v", wd, after, err)
		}
		if !k.set.hosted {
			t.Error("not hosted")
		}
		k.want("touch /seen; ls /inside | wc -l", "100")
		if _, err := os.Stat(c.RootPath + "/seen"); err != nil {
			t.Error(err)
		}
		must(t, unix.Mount("tmpfs", c.RootPath+"/tmp", "tmpfs", 0, ""))
		must(t, k.set.Undo(), k.set.Undo())
		empty(t, c.RootPath)
		k.want("test -e /seen && echo still", "still")
		must(t, UnmountHost(c.Bundle), UnmountHost("/nowhere"))

		c = layered(t, 2, "")
		c.HostVisibleRootfs = true
		c.Rootfs = append(c.Rootfs, specs.Mount{Type: "nosuchfs", Source: "x"})
		if _, err := Prepare(c); err == nil {
			t.Error("no error")
		}
		empty(t, c.RootPath)
	})
}

// rootfsPropagation shared: the root is shared, the host's mounts stay alone.
func TestRootfsPropagation(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		must(t, unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""))
		count := func() int {
			info, err := os.ReadFile("/proc/self/mountinfo")
			must(t, err)
			return strings.Count(string(info), "\n")
		}
		before := count()
		for _, p := range []struct{ propagation, want string }{
			{"", ""},
			{"rprivate", ""},
			{"private", ""},
			{"rslave", ""},
			{"slave", ""},
			{"shared", "shared"},
			{"rshared", "shared"},
			{"unbindable", "unbindable"},
			{"runbindable", "unbindable"},
		} {
			for _, c := range []*Config{bundle(t), layered(t, 1, "")} {
				c.Spec.Linux.RootfsPropagation = p.propagation
				k := start(t, c)
				_, tags, _, _, _ := k.mountinfo("/")
				if strings.HasPrefix(tags, "master") && strings.HasSuffix(p.propagation, "slave") || p.propagation == "" {
					tags = ""
				}
				tags, _, _ = strings.Cut(tags, ":")
				if tags != p.want {
					t.Errorf("%q: got %q, want %q", p.propagation, tags, p.want)
				}
				k.want("ls /../etc/hostname 2>&1 | grep -c hostname:", "1")
				if after := count(); after != before {
					t.Fatalf("%q: the host had %d mounts, has %d", p.propagation, before, after)
				}
			}
		}
		c := bundle(t)
		c.Spec.Linux.RootfsPropagation = "sideways"
		refused(t, c, `linux.rootfsPropagation: "sideways" is not a propagation`)
	})
}

// Without pivot_root the root covers the host's.
func TestNoPivotRoot(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t)
		c.NoPivotRoot = true
		k, err := begin(t, c)
		must(t, err)
		if !k.set.ChildChroot() {
			t.Error("the child need not change its root")
		}
		must(t, k.attach(nil))
		script := "cd -P /..; chroot . /bin/sh -c 'ls -d /proc /sys /bin; ls /../etc/hostname; " +
			"cat /proc/1/comm >/dev/null && echo proc'"
		k.want(script, "/bin\n/proc\n/sys\nls: /../etc/hostname: No such file or directory\nproc")

		c = bundle(t)
		c.NoPivotRoot = true
		c.Spec.Linux.RootfsPropagation = "rprivate"
		refused(t, c, "linux.rootfsPropagation: rprivate without pivot_root")
	})
}
