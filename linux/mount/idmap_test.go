// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// mapNS is a Config.MapNS; count counts the namespaces that it gave.
func mapNS(count *int) func(uids, gids []specs.LinuxIDMapping) (*os.File, error) {
	return func(uids, gids []specs.LinuxIDMapping) (*os.File, error) {
		*count++
		own := []specs.LinuxIDMapping{{HostID: hostID, Size: 65536}}
		if uids == nil {
			uids, gids = own, own
		}
		cmd := exec.Command("cat")
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: sysMaps(uids),
			GidMappings: sysMaps(gids),
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
		in.Close()
		if werr := cmd.Wait(); err == nil {
			err = werr
		}
		return f, err
	}
}

func sysMaps(maps []specs.LinuxIDMapping) (out []syscall.SysProcIDMap) {
	for _, m := range maps {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return out
}

// mapped adds mappings to a mount.
func mapped(m specs.Mount, uids, gids []specs.LinuxIDMapping) specs.Mount {
	m.UIDMappings, m.GIDMappings = uids, gids
	return m
}

func ids(container, host, size uint32) []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: container, HostID: host, Size: size}}
}

// Owners change by the mount's own mapping or the container's, for the topmost
// mount or all; mounts with the same mapping share a namespace.
func TestMappedOwners(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		// A tmpfs can have its owners mapped since Linux 6.3 only.
		vol, sub := t.TempDir(), t.TempDir()
		must(t, os.Mkdir(vol+"/sub", 0o755), os.Chmod(sub, 0o755), unix.Mount(sub, vol+"/sub", "", unix.MS_BIND, ""))
		t.Cleanup(func() { _ = unix.Unmount(vol+"/sub", unix.MNT_DETACH) })
		write(t, vol+"/file", "")
		write(t, vol+"/sub/file", "")
		must(t, os.Chown(vol+"/file", 7, 8), os.Chown(vol+"/sub/file", 7, 8))
		own := ids(7, hostID+70, 2)
		c := usernsBundle(t,
			bind(vol, "/plain", "rbind"), bind(vol, "/idmap", "rbind", "idmap"), bind(vol, "/ridmap", "rbind", "ridmap"),
			mapped(bind(vol, "/own", "rbind"), own, own), mapped(
				bind(vol, "/rown", "rbind", "ridmap", "ro", "shared"),
				own,
				own,
			),
			mapped(bind(vol+"/file", "/one/file"), own, own))
		write(t, c.RootPath+"/etc/inside", "")
		count := 0
		c.MapNS = mapNS(&count)
		k := start(t, c)
		k.want("stat -c '%n %u:%g' /*/file /*/sub/file", `/idmap/file 7:8
/one/file 70:71
/own/file 70:71
/plain/file 65534:65534
/ridmap/file 7:8
/rown/file 70:71
/idmap/sub/file 65534:65534
/own/sub/file 65534:65534
/plain/sub/file 65534:65534
/ridmap/sub/file 7:8
/rown/sub/file 70:71`)
		k.want("touch /idmap/new && stat -c %u /idmap/new; touch /rown/new 2>&1 | grep -c Read-only", "0\n1")
		st, err := os.Stat(vol + "/new")
		must(t, err)
		if uid := st.Sys().(*syscall.Stat_t).Uid; uid != 0 {
			t.Errorf("on the host the file belongs to %d", uid)
		}
		if _, tags, _, _, _ := k.mountinfo("/rown"); !strings.Contains(tags, "shared:") {
			t.Errorf("propagation %q", tags)
		}
		if count != 2 {
			t.Errorf("%d namespaces for two mappings", count)
		}
	})
}

// The layers of an overlay, a bind and another filesystem have the owners that
// containerd's options uidmap and gidmap say.
func TestMappedRootfs(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		const maps = "0:100000:1000,1000:101000:64536"
		for name, change := range map[string]func(c *Config){
			"overlay":     func(*Config) {},
			"view":        func(c *Config) { c.Rootfs[0].Options = c.Rootfs[0].Options[2:] },
			"many layers": func(c *Config) { *c = *layered(t, 100, strings.Repeat("p", 40)) },
			"on the host": func(c *Config) { c.HostVisibleRootfs = true },
			"bind": func(c *Config) {
				_, image, _ := strings.Cut(c.Rootfs[0].Options[2], "lowerdir=")
				c.Rootfs[0] = specs.Mount{
					Type:    "bind",
					Source:  image[strings.LastIndex(image, ":")+1:],
					Options: []string{"rbind", "rw"},
				}
			},
		} {
			c := layered(t, 3, "")
			change(c)
			for _, o := range c.Rootfs[0].Options {
				if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
					must(t, os.Chown(dir, hostID, hostID)) // containerd does
				}
			}
			c.Rootfs[0].Options = append(c.Rootfs[0].Options, "uidmap="+maps, "gidmap="+maps)
			c.UserNS, c.RootUID, c.RootGID = true, hostID, hostID
			count := 0
			c.MapNS = mapNS(&count)
			k := start(t, c)
			k.want("stat -c '%n %u:%g' / /etc/passwd /bin", "/ 0:0\n/etc/passwd 0:0\n/bin 0:0")
			switch name {
			case "view":
				k.want("touch /made 2>&1 | grep -c Read-only", "1")
			default:
				k.want("echo >>/etc/passwd && touch /made && stat -c %u /etc/passwd /made", "0\n0")
			}
			if _, _, fstype, _, _ := k.mountinfo("/"); name != "bind" && fstype != "overlay" {
				t.Errorf("%s: the root is %s", name, fstype)
			}
			k.want("grep -c ' - tmpfs tmpfs rw,mode=700' /proc/self/mountinfo", "0")
			if count != 1 {
				t.Errorf("%s: %d namespaces", name, count)
			}
			if !c.HostVisibleRootfs {
				empty(t, c.RootPath)
			}
		}
	})
}

// Any other filesystem is mounted and then mapped.
func TestMappedFilesystem(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		mkfs, err := exec.LookPath("mkfs.ext4")
		if _, lerr := os.Stat("/dev/loop-control"); err != nil || lerr != nil {
			testenv.Unavailable(t, "no mkfs.ext4 or no loop devices")
		}
		c := usernsBundle(t)
		image := c.RootPath
		data := t.TempDir() + "/data"
		if out, err := exec.Command(mkfs, "-q", "-E", "root_owner=5:6", data, "16m").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		c.Bundle = t.TempDir()
		c.RootPath = c.Bundle + "/rootfs"
		must(t, os.Mkdir(image+"/data", 0o755))
		c.Rootfs = []specs.Mount{
			{Type: "bind", Source: image, Options: []string{"rbind", "rw"}},
			{
				Type:        "ext4",
				Source:      data,
				Destination: "/data",
				Options:     []string{"loop", "nosuid", "uidmap=5:100050:1", "gidmap=6:100060:1"},
			},
		}
		count := 0
		c.MapNS = mapNS(&count)
		k := start(t, c)
		k.want("stat -c %u:%g /data", "50:60")
		k.wantMount("/data", "ext4", "rw,nosuid,relatime,idmapped")
	})
}

// What cannot be is refused by the field's name, before anything is made.
func TestMappedOwnersRefused(t *testing.T) {
	count := 0
	good := ids(0, 1, 1)
	many := make([]specs.LinuxIDMapping, 341)
	wide := make([]specs.LinuxIDMapping, 340)
	for i := range uint32(len(many)) {
		many[i] = specs.LinuxIDMapping{ContainerID: i, HostID: i, Size: 1}
	}
	for i := range uint32(len(wide)) {
		wide[i] = specs.LinuxIDMapping{ContainerID: 100_000 + i, HostID: 1_000_000_000 + i, Size: 1}
	}
	for _, c := range []struct {
		mount specs.Mount
		want  string
		is    error
	}{
		{
			bind("/a", "/x", "ridmap"),
			"mounts[0].options: ridmap without mappings and without a user namespace",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(bind("/a", "/x"), good, nil),
			"mounts[0].gidMappings: missing beside uidMappings",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(bind("/a", "/x", "idmap"), nil, good),
			"mounts[0].uidMappings: missing beside gidMappings",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(bind("/a", "/x", "idmap"), []specs.LinuxIDMapping{}, nil),
			"mounts[0].uidMappings: empty",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(bind("/a", "/x"), ids(0, 1, 0), good),
			"mounts[0].uidMappings: 0:1:0 is no range of ids",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(bind("/a", "/x"), good, ids(0, 1<<32-1, 1)),
			"mounts[0].gidMappings: 0:4294967295:1 is no range of ids",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(bind("/a", "/x"), append(ids(0, 1, 5), ids(4, 10, 1)...), good),
			"mounts[0].uidMappings: 4:10:1 overlaps another range",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(bind("/a", "/x"), append(ids(0, 1, 5), ids(5, 5, 1)...), good),
			"mounts[0].uidMappings: 5:5:1 overlaps another range",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(bind("/a", "/x"), many, good),
			"mounts[0].uidMappings: 341 lines, the kernel takes 340",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(bind("/a", "/x"), good, wide),
			"mounts[0].gidMappings: 6800 bytes of text, the kernel takes 4095",
			errdefs.ErrInvalidArgument,
		},
		{
			mapped(typed("tmpfs", "/x"), good, good),
			"mounts[0].options: mapped owners of a mount that is no bind",
			errdefs.ErrNotImplemented,
		},
		{
			mapped(bind("/a", "/x", "remount"), good, good),
			"mounts[0].options: mapped owners of a mount that is no bind",
			errdefs.ErrNotImplemented,
		},
	} {
		spec := defaultSpec()
		spec.Root.Path = "/nowhere/rootfs"
		spec.Mounts = []specs.Mount{c.mount}
		_, err := Prepare(&Config{Spec: spec, Bundle: "/nowhere", RootPath: "/nowhere/rootfs", MapNS: mapNS(&count)})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !is(err, c.is) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if count != 0 {
		t.Errorf("%d namespaces were made", count)
	}
}

// A filesystem that cannot is an error that says so.
func TestMappedOwnersOfProc(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := usernsBundle(t, bind("/proc/sys", "/x", "idmap"))
		count := 0
		c.MapNS = mapNS(&count)
		refused(t, c, "mount bind on /x: map owners: the filesystem cannot: mount_setattr: invalid argument")
		c = usernsBundle(t, bind("/tmp", "/x", "idmap"))
		c.MapNS = func(_, _ []specs.LinuxIDMapping) (*os.File, error) { return nil, io.ErrUnexpectedEOF }
		refused(t, c, "mount bind on /x: map owners: unexpected EOF")
	})
}

// FuzzOwners: whatever the options are, what is accepted is a map that the kernel
// takes, and everything else is passed on.
func FuzzOwners(f *testing.F) {
	f.Add("uidmap=0:1000:65536", "gidmap=0:1000:10,10:2000:5", "ro")
	f.Add("uidmap=0:1:4294967295", "gidmap=4294967295:1:1", "uidmap")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		owners, rest, err := splitOwners("rootfs[0]", []string{a, b, c})
		if err != nil {
			return
		}
		if owners == nil {
			if len(rest) != 3 {
				t.Errorf("%q left", rest)
			}
			return
		}
		for _, maps := range [][]specs.LinuxIDMapping{owners.uids, owners.gids} {
			var sum uint64
			seen := map[uint32]bool{}
			for _, m := range maps {
				sum += uint64(m.Size)
				if m.Size == 0 || seen[m.ContainerID] || m.ContainerID+m.Size < m.ContainerID || m.HostID+m.Size < m.HostID {
					t.Errorf("%+v", maps)
				}
				seen[m.ContainerID] = true
			}
			if len(maps) == 0 || sum > 1<<32 {
				t.Errorf("%+v", maps)
			}
		}
	})
}
