// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// usernsBundle is bundle with a user namespace, in which the image belongs to
// root.
func usernsBundle(t *testing.T, mounts ...specs.Mount) *Config {
	t.Helper()
	c := bundle(t, mounts...)
	c.UserNS, c.RootUID, c.RootGID = true, hostID, hostID
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: hostID, Size: 65536}}
	c.UIDs, c.GIDs = ids, ids
	c.Spec.Linux.UIDMappings, c.Spec.Linux.GIDMappings = ids, ids
	for _, dir := range []string{"", "/bin", "/dev", "/etc", "/proc", "/root", "/run", "/sys", "/tmp"} {
		must(t, os.Chown(c.RootPath+dir, hostID, hostID))
	}
	return c
}

// What is made in a user namespace belongs to its root, device nodes are the
// host's, and the filesystems are the namespace's own.
func TestUserNamespace(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		vol := t.TempDir()
		mode, id := os.FileMode(0o640), uint32(5)
		c := usernsBundle(t, bind(vol, "/new/vol"), bind("/etc/passwd", "/new/file"), typed("tmpfs", "/run/t"), typed(
			"tmpfs",
			"/tmp",
			"uid=9,gid=8",
		),
			typed("cgroup", "/sys/fs/cgroup", "ro"))
		c.Spec.Linux.Devices = []specs.LinuxDevice{
			{Path: "/dev/pipe", Type: "p", FileMode: &mode, UID: &id, GID: &id},
			{Path: "/srv/zero", Type: "c", Major: 1, Minor: 5},
		}
		must(
			t,
			os.Chmod(c.RootPath+"/etc", 0o700),
			os.Mkdir(c.RootPath+"/private", 0o700),
			os.Chown(c.RootPath+"/private", hostID+1000, hostID+1000),
		)
		c.Spec.Mounts = append(c.Spec.Mounts, typed("tmpfs", "/private/deep/t"))
		k := start(t, c)
		k.want("stat -c '%n %u %g %a' /new /new/file /run /run/t /tmp /dev /dev/pipe /private/deep /srv; "+
			"stat -c '%t:%T' /dev/null /srv/zero /dev/pipe",
			`/new 0 0 755
/new/file 65534 65534 644
/run 0 0 755
/run/t 0 0 1777
/tmp 9 8 755
/dev 0 0 755
/dev/pipe 5 5 640
/private/deep 0 0 755
/srv 0 0 755
1:3
1:5
0:0`)
		k.wantMount("/proc", "proc", "rw,nosuid,nodev,noexec,relatime")
		k.wantMount("/sys", "sysfs", "ro,nosuid,nodev,noexec,relatime")
		k.wantMount("/sys/fs/cgroup", "cgroup2", "ro,relatime")
		k.want(
			"mount -t tmpfs x /tmp && chown 7 /tmp && stat -c %u /tmp; "+
				"touch /dev/new /run/new /dev/shm/new && echo x > /dev/null && echo ok",
			"7\nok",
		)
		k.want("ls -A /sys/firmware; cat /proc/keys /proc/interrupts | wc -c", "0")
	})
}

// A host's node is mounted on nothing but an empty file; the node itself may be
// there; anything else in the place is an error, and stays as it is.
func TestUserNamespaceDevices(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		zero := specs.LinuxDevice{Path: "/srv/zero", Type: "c", Major: 1, Minor: 5}
		at := func(make func(path string) error) *Config {
			c := usernsBundle(t)
			c.Spec.Linux.Devices = []specs.LinuxDevice{zero}
			must(t, os.Mkdir(c.RootPath+"/srv", 0o755), make(c.RootPath+zero.Path))
			return c
		}
		touch := func(text string) func(string) error {
			return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
		}
		node := func(mode uint32, dev uint64) func(string) error {
			return func(path string) error { return unix.Mknod(path, mode|0o666, int(dev)) }
		}
		for _, make := range []func(string) error{touch(""), node(unix.S_IFCHR, unix.Mkdev(1, 5))} {
			start(t, at(make)).want("stat -c %t:%T /srv/zero", "1:5")
		}
		for name, make := range map[string]func(string) error{
			"text": touch("x"), "directory": func(path string) error { return os.Mkdir(path, 0o755) },
			"link": func(path string) error { return os.Symlink("nowhere", path) }, "fifo": node(unix.S_IFIFO, 0),
			"another": node(unix.S_IFCHR, unix.Mkdev(1, 3)), "block": node(unix.S_IFBLK, unix.Mkdev(1, 5)),
		} {
			c := at(make)
			before, err := os.Lstat(c.RootPath + zero.Path)
			must(t, err)
			refused(t, c, "make device /srv/zero: another file is in its place")
			if after, err := os.Lstat(c.RootPath + zero.Path); err != nil || !os.SameFile(before, after) {
				t.Errorf("%s: %v, %v", name, after, err)
			}
		}
	})
}

// A listed device has the owner and the mode that the specification says, in a user
// namespace too, and the host need not have it. What is done to it is not done to the
// host's. The host's is bound where its owner has no id in the container.
func TestUserNamespaceDeviceNodes(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := usernsBundle(t)
		mode, id, none := os.FileMode(0o640), uint32(5), uint32(70000)
		c.Spec.Linux.Devices = []specs.LinuxDevice{
			{Path: "/srv/absent", Type: "c", Major: 240, Minor: 77, FileMode: &mode, UID: &id, GID: &id},
			{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5, FileMode: &mode, GID: &none},
		}
		k := start(t, c)
		k.want(
			"stat -c '%n %t:%T %a %u:%g' /srv/absent /dev/null /dev/zero",
			"/srv/absent f0:4d 640 5:5\n/dev/null 1:3 666 0:0\n/dev/zero 1:5 666 65534:65534",
		)
		k.want(
			"chmod 600 /dev/null && chown 7 /dev/null && touch /dev/null && stat -c '%a %u' /dev/null; "+
				"echo x >/dev/null && head -c 2 /dev/zero | wc -c",
			"600 7\n2",
		)
		k.want("touch /dev/zero 2>&1", "touch: /dev/zero: Read-only file system")
		k.want("cut -d' ' -f5 /proc/self/mountinfo | grep -c '^/$'", "1") // nothing of the making is left
	})
}

// A container that may not make a sysfs gets the host's, and no way to write to
// it (CVE-2023-25809).
func TestUserNamespaceSysfs(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		root, err := testenv.CgroupRoot()
		must(t, err)
		c := usernsBundle(t)
		c.OwnNetNS = false
		for i, m := range c.Spec.Mounts {
			if m.Destination == "/sys" { // and nobody says that it is to be read-only
				c.Spec.Mounts[i].Options = []string{"nosuid", "noexec", "nodev"}
			}
		}
		k := start(t, c)
		k.wantMount("/sys", "sysfs", "ro,nosuid,nodev,noexec,relatime")
		options, _, fstype, _, _ := k.mountinfo(root)
		if fstype != "cgroup2" || !strings.HasPrefix(options, "ro,") {
			t.Errorf("%s: %s %s", root, fstype, options)
		}
		k.want(
			"mkdir "+root+"/mini-test-attack",
			"mkdir: can't create directory '"+root+"/mini-test-attack': Read-only file system",
		)
	})
}

// The flags of a host's mount stay in a user namespace, whatever the container's
// root does; an option that would clear one is refused. nosymfollow is none that the
// kernel locks, and goes where other flags are named, as in runc.
func TestLockedFlags(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		vol := t.TempDir()
		tmpfs(t, vol, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOATIME|unix.MS_RDONLY|unix.MS_NOSYMFOLLOW)
		c := usernsBundle(t, bind(vol, "/plain"), bind(vol, "/noexec", "noexec"), bind(vol, "/same", "ro", "noatime"))
		k := start(t, c)
		k.wantMount("/plain", "tmpfs", "ro,nosuid,nodev,noatime,nosymfollow")
		k.wantMount("/noexec", "tmpfs", "ro,nosuid,nodev,noexec,noatime")
		k.wantMount("/same", "tmpfs", "ro,nosuid,nodev,noatime")
		for _, flag := range []string{"rw", "dev", "suid", "strictatime"} {
			k.want("mount -o remount,bind,nosuid,nodev,ro,noatime,"+flag+" /plain 2>&1 | grep -c denied", "1")
		}
		for opt, lost := range map[string]string{
			"rw":       "ro",
			"dev":      "nodev",
			"suid":     "nosuid",
			"relatime": "noatime",
			"rrw":      "ro",
		} {
			refused(
				t,
				usernsBundle(t, bind(vol, "/x", opt)),
				"mount bind on /x: "+vol+" would lose "+lost+", which the host's mount namespace has locked: mount_setattr: "+
					"operation not permitted",
			)
		}
		tmpfs(t, vol+"x", unix.MS_NOEXEC)
		refused(t, usernsBundle(t, bind(vol+"x", "/x", "exec")), "mount bind on /x: "+vol+"x would lose noexec, which")
	})
}
