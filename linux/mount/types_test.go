// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

func typed(fstype, dest string, opts ...string) specs.Mount {
	return specs.Mount{Type: fstype, Source: fstype, Destination: dest, Options: opts}
}

// Flags of a new filesystem are on the mount, and where mount(2) puts them
// there, on the superblock.
func TestTypedFlags(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		k := start(t, bundle(t,
			typed("tmpfs", "/a", "ro", "nosuid"),
			typed("ramfs", "/b", "ro", "nodev", "noatime"),
			typed("tmpfs", "/c", "sync", "dirsync", "noexec", "nodiratime", "silent", "iversion", "mand", "lazytime"),
			typed("tmpfs", "/d", "defaults", "rnosuid", "rro", "rnoatime"),
			typed("tmpfs", "/e", "noatime", "relatime", "loud", "nosymfollow", "async", "rw", "suid", "dev", "exec"),
			typed("tmpfs", "/f", "rshared"),
			typed("tmpfs", "/g", "unbindable"),
			typed("ramfs", "/h", "iversion", "slave", "shared"),
			typed("tmpfs", "/i", "mode=0711,uid=7,gid=8", "nr_inodes=9"),
		))
		for _, w := range [][4]string{
			{"/a", "ro,nosuid,relatime", "", "rw"},
			{"/b", "ro,nodev,noatime", "", "ro"},
			{"/c", "rw,noexec,nodiratime,relatime", "", "rw,sync,dirsync,lazytime"},
			{"/d", "ro,nosuid,noatime", "", "rw"},
			{"/e", "rw,relatime,nosymfollow", "", "rw"},
			{"/f", "rw,relatime", "shared", "rw"},
			{"/g", "rw,relatime", "unbindable", "rw"},
			{"/h", "rw,relatime", "shared", "rw"},
			{"/i", "rw,relatime", "", "rw,nr_inodes=9,mode=711,uid=7,gid=8"},
		} {
			options, tags, _, _, super := k.mountinfo(w[0])
			tags, _, _ = strings.Cut(tags, ":")
			super = strings.ReplaceAll(strings.ReplaceAll(super, ",mand", ""), ",inode64", "")
			if options != w[1] || tags != w[2] || super != w[3] {
				t.Errorf("%s: got %q %q %q, want %q", w[0], options, tags, super, w[1:])
			}
		}
		k.want("stat -c '%a %u %g' /i; touch /a/x", "711 7 8\ntouch: /a/x: Read-only file system")
	})
}

// A tmpfs without a mode has that of what it covers.
func TestTmpfsInherits(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t, typed("tmpfs", "/old"), typed("tmpfs", "/told", "mode=700"), typed("tmpfs", "/new"))
		must(
			t,
			os.Mkdir(c.RootPath+"/old", 0o755),
			os.Chmod(c.RootPath+"/old", 0o3751|os.ModeSticky|os.ModeSetgid),
			os.Mkdir(c.RootPath+"/told", 0o755),
		)
		k := start(t, c)
		k.want("stat -c '%a' /old /told /new", "3751\n700\n1777")
	})
}

func TestRemount(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		vol := t.TempDir()
		tmpfs(t, vol, unix.MS_NODEV)
		k := start(t, bundle(t,
			bind(vol, "/vol"), bind("", "/vol", "remount", "ro", "nosuid"),
			specs.Mount{Destination: "/run", Options: []string{"remount", "size=1m", "nodev", "private"}},
		))
		k.wantMount("/vol", "tmpfs", "ro,nosuid,relatime")
		k.wantMount("/run", "tmpfs", "rw,nodev") // its strictatime stays
		if _, _, _, _, super := k.mountinfo("/run"); !strings.Contains(super, "size=1024k") {
			t.Errorf("/run: superblock %s", super)
		}
		if out, err := exec.Command("sh", "-c", "touch "+vol+"/x").CombinedOutput(); err != nil {
			t.Errorf("the host's mount changed, too: %s", out)
		}
		refused(t, bundle(t, bind("", "/etc", "remount", "ro")), "remount /etc: nothing is mounted there: invalid argument")
	})
}

// A cgroup mount shows the container's cgroups, and leaves the options of the
// host's alone (nsdelegate, memory_recursiveprot), which a mount from the initial
// cgroup namespace would set for everybody.
func TestCgroup(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		root, err := testenv.CgroupRoot()
		must(t, err)
		before := superOptions(t, root)
		defer func() {
			if after := superOptions(t, root); after != before {
				t.Errorf("the options of the host's %s were %s and are %s", root, before, after)
			}
		}()
		c := bundle(t, typed("cgroup", "/sys/fs/cgroup", "ro", "nosuid"))
		k := start(t, c)
		k.wantMount("/sys/fs/cgroup", "cgroup2", "ro,nosuid,relatime")

		c = bundle(t, typed("cgroup2", "/sys/fs/cgroup", "ro", "nsdelegate"))
		c.OwnCgroupNS, c.CgroupMount, c.CgroupDir = false, root, root
		k = start(t, c)
		k.wantMount("/sys/fs/cgroup", "cgroup2", "ro,relatime")
		k.want("test -e /sys/fs/cgroup/cgroup.procs && echo yes", "yes")

		c = bundle(t, typed("cgroup", "/sys/fs/cgroup"))
		c.OwnCgroupNS = false
		refused(t, c, "mounts[7].type: cgroup: the host has no cgroup2")
	})
}

// superOptions are those of the superblock that is mounted on the host.
func superOptions(t *testing.T, at string) string {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); f[4] == at {
			return f[len(f)-1]
		}
	}
	t.Fatalf("nothing is mounted on %s", at)
	return ""
}

// An overlay in the spec, and options that only mount(2) can take.
func TestOverlayMount(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		dir := t.TempDir()
		write(t, dir+"/l1/one", "1")
		write(t, dir+"/l2/two", "2")
		long := dir
		for i := range 20 {
			long += fmt.Sprintf("/%020d", i)
		}
		write(t, long+"/three", "3")
		k := start(t, bundle(t,
			typed("overlay", "/short", "lowerdir="+dir+"/l1:"+dir+"/l2"),
			typed("overlay", "/long", "lowerdir="+dir+"/l1:"+long, "ro", "rshared")))
		k.want("cat /short/one /short/two /long/one /long/three", "1213")
		_, tags, _, _, _ := k.mountinfo("/long")
		if !strings.HasPrefix(tags, "shared:") {
			t.Errorf("/long: %s", tags)
		}
	})
}

func TestDevices(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		mode, uid, gid := os.FileMode(0o640), uint32(11), uint32(12)
		c := bundle(t)
		c.Spec.Linux.Devices = []specs.LinuxDevice{
			{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: &mode, UID: &uid, GID: &gid},
			{Path: "/dev/zero", Type: "u", Major: 1, Minor: 5, FileMode: &mode},
			{Path: "/elsewhere/disk", Type: "b", Major: 7, Minor: 300},
			{Path: "/dev/pipe", Type: "p", FileMode: &mode},
			{Path: "/dev/ptmx", Type: "c", Major: 5, Minor: 2},
		}
		k := start(t, c)
		k.want("stat -c '%n %F %a %t:%T %u:%g' /dev/net/tun /dev/zero /elsewhere/disk /dev/pipe; readlink /dev/ptmx",
			`/dev/net/tun character special file 640 a:c8 11:12
/dev/zero character special file 640 1:5 0:0
/elsewhere/disk block special file 666 7:12c 0:0
/dev/pipe fifo 640 0:0 0:0
pts/ptmx`)
		for _, d := range []struct {
			dev  specs.LinuxDevice
			want string
		}{
			{specs.LinuxDevice{Path: "/dev/x", Type: "z"}, `linux.devices[0].type: "z" is none of c, b, u, p`},
			{specs.LinuxDevice{Path: "", Type: "c"}, "linux.devices[0].path"},
			{specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: -1}, "linux.devices[0]: -1:0 is no device number"},
			{
				specs.LinuxDevice{Path: "/bin/busybox", Type: "c", Major: 1, Minor: 3},
				"make device /bin/busybox: another file is in its place",
			},
		} {
			c := bundle(t)
			c.Spec.Linux.Devices = []specs.LinuxDevice{d.dev}
			refused(t, c, d.want)
		}

		// A bind on /dev is somebody else's: nothing is made in it.
		dev := t.TempDir()
		c = bundle(t)
		c.Spec.Mounts = append(c.Spec.Mounts[:1], bind(dev, "/dev"))
		c.Spec.Linux.MaskedPaths = nil
		start(t, c)
		empty(t, dev)
	})
}

func TestTerminal(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t)
		c.Terminal = true
		k, err := begin(t, c)
		must(t, err)
		if pty := k.set.PTY(); pty < 0 || k.set.Superblocks()[pty].Type != "devpts" {
			t.Errorf("the pty is of superblock %d", pty)
		}
		must(t, k.attach(func() error {
			master, slave, err := k.set.OpenPTY()
			if err != nil {
				return err
			}
			defer slave.Close()
			if _, err := slave.WriteString("hello"); err != nil {
				return err
			}
			buf := make([]byte, 9)
			n, err := master.Read(buf)
			if err != nil || string(buf[:n]) != "hello" {
				t.Errorf("read %q, %v", buf[:n], err)
			}
			t.Cleanup(func() { master.Close() })
			return k.set.Console(slave)
		}))
		k.want("stat -c '%t:%T' /dev/console", "88:0")

		for _, mounts := range [][]specs.Mount{
			{typed("devpts", "/dev/pts"), typed("tmpfs", "/dev")},
			{typed("devpts", "/dev/pts"), bind("/dev/pts", "/dev/pts")},
			{},
		} {
			c := bundle(t)
			c.Terminal, c.Spec.Mounts = true, mounts
			s, err := Prepare(c)
			must(t, err)
			if s.PTY() != -1 {
				t.Errorf("%v: pty %d, want none", mounts, s.PTY())
			}
		}
	})
}

func TestReadonlyRoot(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		vol := t.TempDir()
		c := bundle(t, bind(vol, "/vol"), typed("tmpfs", "/dev/ro", "ro"))
		c.Spec.Root.Readonly = true
		c.Spec.Process.Cwd = "/work/dir"
		k := start(t, c)
		k.want("touch /x /etc/x; touch /vol/x /run/x && echo ok; stat -c %a /work/dir; mkdir /dev/ro/x",
			"touch: /x: Read-only file system\ntouch: /etc/x: Read-only file system\nok\n755\n"+
				"mkdir: can't create directory '/dev/ro/x': Read-only file system")

		c = bundle(t)
		c.Spec.Mounts[1].Options = append(c.Spec.Mounts[1].Options, "ro")
		k = start(t, c)
		k.wantMount("/dev", "tmpfs", "ro,nosuid")
		k.want("touch /dev/x; stat -c %t:%T /dev/null", "touch: /dev/x: Read-only file system\n1:3")
	})
}

func TestProtectedPaths(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t)
		write(t, c.RootPath+"/d1/file", "1")
		write(t, c.RootPath+"/d2/file", "2")
		write(t, c.RootPath+"/file", "3")
		write(t, c.RootPath+"/readonly", "4")
		must(t, os.Symlink("d1", c.RootPath+"/link"), unix.Mkfifo(c.RootPath+"/fifo", 0o600))
		c.Spec.Linux.MaskedPaths = []string{"/link", "/d2", "/d1/", "/file", "/fifo", "/nowhere", "/file/below"}
		c.Spec.Linux.ReadonlyPaths = []string{"/etc", "/nowhere", "/readonly", "/etc/passwd/below"}
		// The shim is in another pid namespace, where these lead nowhere.
		c.InitPid = func() (int, error) { return 1, nil }
		c.Spec.Linux.MaskedPaths = append(
			c.Spec.Linux.MaskedPaths,
			"/proc/self/environ",
			"/proc/net",
			"/proc/thread-self/fdinfo",
		)
		k := start(t, c)
		k.want(
			"stat -c %F /proc/1/environ; ls -A /proc/1/net /proc/1/task/1/fdinfo",
			"character special file\n/proc/1/net:\n\n/proc/1/task/1/fdinfo:",
		)
		k.want("ls -A /d1 /d2; cat /file; stat -c %F /fifo", "/d1:\n\n/d2:\ncharacter special file")
		k.want("touch /etc/x /d1/x; echo x >> /readonly",
			"touch: /etc/x: Read-only file system\ntouch: /d1/x: Read-only file system\n"+
				"/bin/sh: can't create /readonly: Read-only file system")
	})
}

// TestProtectedPathOverReadOnlyMount: what covers a protected path shows the mounts
// below it as they are to be, not as they were while they were filled.
func TestProtectedPathOverReadOnlyMount(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t)
		c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{
			Destination: "/d1/ro",
			Type:        "tmpfs",
			Source:      "tmpfs",
			Options:     []string{"ro"},
		},
			specs.Mount{Destination: "/d1/rw", Type: "tmpfs", Source: "tmpfs"})
		c.Spec.Linux.ReadonlyPaths = []string{"/d1"}
		k := start(t, c)
		k.want("touch /d1/ro/x /d1/x /d1/rw/x", "touch: /d1/ro/x: Read-only file system\ntouch: /d1/x: Read-only file system")
	})
}
