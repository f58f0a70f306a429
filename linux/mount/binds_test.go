// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// must fails the test on an error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}

// tmpfs mounts a tmpfs on the test's host.
func tmpfs(t *testing.T, path string, flags uintptr) {
	t.Helper()
	must(t, os.MkdirAll(path, 0o755), unix.Mount("tmpfs", path, "tmpfs", flags, ""))
	t.Cleanup(func() { must(t, unix.Unmount(path, unix.MNT_DETACH)) })
}

func bind(src, dest string, opts ...string) specs.Mount {
	return specs.Mount{Source: src, Destination: dest, Type: "none", Options: append([]string{"bind"}, opts...)}
}

// A bind with flags has those flags, and its source's access-time mode; without
// flags it has its source's.
func TestBindFlags(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		vol := t.TempDir()
		tmpfs(t, vol, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOATIME)
		tmpfs(t, vol+"/sub", unix.MS_NOEXEC)
		write(t, vol+"/sub/file", "sub")
		k := start(t, bundle(t,
			bind(vol, "/plain"),
			bind(vol, "/ro", "ro"),
			bind(vol, "/dev1", "dev"),
			bind(vol, "/atime", "atime", "nodiratime"),
			bind(vol, "/kept", "atime", "norelatime", "nostrictatime", "diratime"),
			bind(vol, "/strict", "strictatime", "nosymfollow"),
			bind(vol, "/top", "rbind", "ro"),
			bind(vol, "/all", "rbind", "rro", "rnosymfollow"),
			bind(vol, "/rexec", "rbind", "ro", "rrw", "rexec", "rnoatime"),
		))
		k.wantMount("/plain", "tmpfs", "rw,nosuid,nodev,noatime")
		k.wantMount("/ro", "tmpfs", "ro,noatime")
		k.wantMount("/dev1", "tmpfs", "rw,noatime")
		k.wantMount("/atime", "tmpfs", "rw,nodiratime,relatime")
		k.wantMount("/kept", "tmpfs", "rw,noatime")
		k.wantMount("/strict", "tmpfs", "rw,nosymfollow")
		k.wantMount("/top", "tmpfs", "ro,noatime")
		k.wantMount("/top/sub", "tmpfs", "rw,noexec,relatime")
		k.wantMount("/all", "tmpfs", "ro,nosuid,nodev,noatime,nosymfollow")
		k.wantMount("/all/sub", "tmpfs", "ro,noexec,relatime,nosymfollow")
		k.wantMount("/rexec", "tmpfs", "rw,noatime")
		k.wantMount("/rexec/sub", "tmpfs", "rw,noatime")
		k.want("cat /plain/sub/file 2>/dev/null || echo hidden", "hidden")
		k.want("cat /top/sub/file", "sub")
		k.want("touch /ro/x; touch /all/sub/x; touch /plain/x && echo ok",
			"touch: /ro/x: Read-only file system\ntouch: /all/sub/x: Read-only file system\nok")
	})
}

// What a bind's source is, its target becomes; existing targets of the right
// kind are used as they are.
func TestBindKinds(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t)
		dir := filepath.Join(c.Bundle, "vol")
		write(t, dir+"/file", "file")
		must(t, unix.Mkfifo(dir+"/fifo", 0o600), os.Symlink("file", dir+"/link"))
		l, err := net.Listen("unix", dir+"/socket")
		must(t, err)
		defer l.Close()
		write(t, c.RootPath+"/etc/hosts", "image")
		c.Spec.Mounts = append(c.Spec.Mounts,
			bind(dir+"/file", "/etc/hosts", "ro"),
			bind(dir+"/link", "/made/on/the/way"),
			bind(dir+"/fifo", "/fifo"),
			bind(dir+"/socket", "/run/socket"),
			bind("/dev/zero", "/dev/other"),
			bind("vol/file", "/relative"),
			bind(dir, "/dir/sub"),
			bind(dir+"/file", "/dir/sub/made-in-volume"),
		)
		k := start(t, c)
		k.want("cat /etc/hosts /made/on/the/way /relative /dir/sub/made-in-volume", "filefilefilefile")
		k.want("stat -c '%F' /fifo /run/socket /dev/other /dir/sub /made/on/the/way",
			"fifo\nsocket\ncharacter special file\ndirectory\nregular file")
		k.want(
			"stat -c '%a' /made /made/on; echo x >/etc/hosts",
			"755\n755\n/bin/sh: can't create /etc/hosts: Read-only file system",
		)
		if st, err := os.Stat(dir + "/made-in-volume"); err != nil || st.Mode() != 0o644 {
			t.Errorf("mount point made in the volume: %v, %v", st, err)
		}
	})
}

func TestMountOrder(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t)
		write(t, c.Bundle+"/a/in-a", "a")
		write(t, c.Bundle+"/b/in-b", "b")
		c.Spec.Mounts = append(c.Spec.Mounts,
			bind("a", "/x"),
			specs.Mount{Destination: "/x/t", Type: "tmpfs", Source: "t"},
			bind("b", "/x/t/b"),
			bind("b", "/y/z"),
			bind("a", "/y"), // covers /y/z
			bind("a", "link/../rel"),
		)
		k := start(t, c)
		k.want("cat /x/in-a /x/t/b/in-b /y/in-a /rel/in-a", "abaa")
		k.want("ls /y; stat -c %a /x/t", "in-a\nt\n1777")
	})
}

// A bind of something inside the root sees what was mounted there before it, with its
// flags or those that are named, and nothing that comes later.
func TestBindInsideTheRoot(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		vol := t.TempDir()
		must(t, os.Mkdir(vol+"/sub", 0o755))
		write(t, vol+"/sub/file", "volume")
		c := bundle(t)
		in := func(p string) string { return c.RootPath + p }
		must(t, os.MkdirAll(in("/first"), 0o755))
		write(t, in("/first/image"), "image")
		c.Spec.Mounts = append(c.Spec.Mounts,
			bind(in("/first"), "/before"),
			bind(vol, "/first", "ro"), bind(in("/first/sub"), "/dir"), bind(in("/first/sub/file"), "/file", "rw", "nosuid"),
			typed("tmpfs", "/first/sub"), bind(in("/first"), "/flat"), bind(in("/first"), "/deep", "rbind"))
		k := start(t, c)
		k.want("cat /before/image /dir/file /file /flat/sub/file; ls /deep/sub", "imagevolumevolumevolume")
		k.want("touch /dir/x 2>&1; echo x >>/file && cat /file", "touch: /dir/x: Read-only file system\nvolumex")
	})
}

func TestBindPropagation(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		vol := t.TempDir()
		tmpfs(t, vol, 0)
		must(t, unix.Mount("", vol, "", unix.MS_SHARED, ""))
		for _, c := range []struct {
			rootfs string
			opts   []string
			want   string // kinds of the optional fields of mountinfo
		}{
			{"", nil, "master"},
			{"", []string{"rprivate"}, ""},
			{"", []string{"rshared"}, "shared master"},
			{"", []string{"rslave", "shared"}, "shared master"},
			{"", []string{"private", "unbindable"}, "unbindable"},
			{"rprivate", nil, ""},
			{"rprivate", []string{"shared"}, "shared"},
			{"rshared", nil, "shared"},
			{"shared", []string{"rslave"}, "master"},
			{"private", nil, "shared"},
			{"runbindable", []string{"private"}, "unbindable"},
		} {
			cfg := bundle(t, bind(vol, "/vol", c.opts...))
			cfg.Spec.Linux.RootfsPropagation = c.rootfs
			k := start(t, cfg)
			_, tags, _, _, _ := k.mountinfo("/vol")
			var kinds []string
			for _, tag := range strings.Fields(tags) {
				kind, _, _ := strings.Cut(tag, ":")
				kinds = append(kinds, kind)
			}
			if got := strings.Join(kinds, " "); got != c.want {
				t.Errorf("rootfs %q, bind %v: got %q, want %q", c.rootfs, c.opts, got, c.want)
			}
		}
	})
}

func TestBindErrors(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		for _, c := range []struct {
			mount specs.Mount
			want  string
			is    error
		}{
			{bind("/nowhere", "/x"), "mount bind on /x: open_tree /nowhere: no such file or directory", os.ErrNotExist},
			{
				bind("/tmp", "/x", "mode=7"),
				"mounts[7].options: a bind takes no filesystem options (mode=7): invalid argument",
				errdefs.ErrInvalidArgument,
			},
			{bind("", "/x"), "mounts[7].source: empty for a bind: invalid argument", errdefs.ErrInvalidArgument},
			{
				bind("/tmp", "/"),
				"mounts[7].destination: / is the container's root: invalid argument",
				errdefs.ErrInvalidArgument,
			},
			{
				bind("/tmp", "/bin/busybox"),
				"mount bind on /bin/busybox: the source /tmp is a directory, the destination a file: not a directory",
				unix.ENOTDIR,
			},
			{
				bind("/etc/passwd", "/bin"),
				"mount bind on /bin: the source /etc/passwd is a file, the destination a directory: not a directory",
				unix.ENOTDIR,
			},
			{
				bind("/tmp", "/bin/busybox/x"),
				"mount bind on /bin/busybox/x: openat2 /bin/busybox/x: not a directory",
				unix.ENOTDIR,
			},
			{
				bind("/tmp", "/x", "idmap"),
				"mounts[7].options: idmap without mappings and without a user namespace: invalid argument",
				errdefs.ErrInvalidArgument,
			},
			{
				specs.Mount{Destination: "/x", Type: "bind", Source: "/tmp"},
				"mounts[7].type: bind without the option bind or rbind: invalid argument",
				errdefs.ErrInvalidArgument,
			},
			{specs.Mount{Destination: "/x", Type: "nosuchfs"}, `mount nosuchfs on /x: the kernel has no file system of type "nosuchfs": fsopen: no such device`, unix.ENODEV},
			{
				specs.Mount{Destination: "/x", Type: "ext4", Source: "/dev/nosuch"},
				"mount ext4 on /x: source /dev/nosuch: fsconfig: no such file or directory",
				os.ErrNotExist,
			},
			{
				specs.Mount{Destination: "/x", Type: "ext4", Source: "/dev/null"},
				"mount ext4 on /x: source /dev/null: fsconfig: block device required (/dev/null: Can't ",
				unix.ENOTBLK,
			},
			{
				specs.Mount{Destination: "/x", Type: "overlay", Options: []string{"lowerdir=/nowhere:/tmp:/nor/here"}},
				"mount overlay on /x: lowerdir /nowhere, lowerdir /nor/here: ",
				os.ErrNotExist,
			},
			{bind("/tmp", "/x", "remount"), "remount /x: nothing is mounted there: invalid argument", unix.EINVAL},
			{
				bind("/dev/null", "/tmp"),
				"mount bind on /tmp: the source /dev/null is a device, the destination a directory: not a directory",
				unix.ENOTDIR,
			},
			{
				specs.Mount{Destination: "/x", Type: "tmpfs", Options: []string{"size=many"}},
				"mount tmpfs on /x: fsconfig size=many: invalid argument",
				nil,
			},
		} {
			_, err := create(t, bundle(t, c.mount))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || c.is != nil && !is(err, c.is) {
				t.Errorf("%v:\ngot  %v\nwant %s", c.mount, err, c.want)
			}
		}
	})
}
