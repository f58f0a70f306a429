// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// empty fails the test if there is anything in a directory of the host that an
// attack was aimed at.
func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("the host's %s was reached: %v", dir, entries)
	}
}

// replace puts a link in place of a directory of the image.
func replace(t *testing.T, path, link string) {
	t.Helper()
	must(t, os.RemoveAll(path), os.Symlink(link, path))
}

func refused(t *testing.T, c *Config, want string) {
	t.Helper()
	_, err := create(t, c)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// CVE-2026-41579, CVE-2026-47766: the image ships /dev as a link to the host.
func TestAttackDevLink(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		victim := t.TempDir()
		c := bundle(t)
		c.Spec.Mounts = c.Spec.Mounts[:1] // no mount on /dev: the image's own is filled
		replace(t, c.RootPath+"/dev", victim)
		k := start(t, c)
		empty(t, victim)
		k.want("test -c "+victim+"/null && echo inside", "inside")

		c = bundle(t)
		replace(t, c.RootPath+"/dev", victim)
		k = start(t, c)
		empty(t, victim)
		k.want("test -c /dev/null && readlink /dev", victim)

		c = bundle(t)
		c.Spec.Mounts = c.Spec.Mounts[:1]
		replace(t, c.RootPath+"/dev", "../../../../../../.."+victim)
		start(t, c)
		empty(t, victim)
	})
}

// CVE-2019-19921, CVE-2023-27561: /proc or /sys is a link, so that what is
// mounted there lands elsewhere.
func TestAttackProcLink(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		for _, at := range []string{"/proc", "/sys"} {
			for _, link := range []string{"/tmp", "tmp", "/nowhere", "/proc/../tmp"} {
				c := bundle(t)
				replace(t, c.RootPath+at, link)
				refused(t, c, "on "+at+": not an ordinary directory")
			}
		}
	})
}

// CVE-2019-16884: a volume is mounted over /proc or into it.
func TestAttackOverProc(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		dir := t.TempDir()
		write(t, dir+"/file", "fake")
		refused(t, bundle(t, bind(dir, "/proc")), "mount bind on /proc: only a procfs may be mounted here")
		refused(t, bundle(t, specs.Mount{Destination: "/proc", Type: "tmpfs"}), "only a procfs may be mounted here")
		refused(t, bundle(t, bind(dir+"/file", "/proc/self/attr/exec")), "inside /proc")
		refused(t, bundle(t, bind(dir+"/file", "/x/../proc/version")), "inside /proc")

		c := bundle(t, bind(dir+"/file", "/etc/innocent"))
		must(t, os.Symlink("/proc/version", c.RootPath+"/etc/innocent"))
		refused(t, c, "leads into a procfs")
		c = bundle(t, bind(dir, "/innocent"))
		must(t, os.Symlink("proc", c.RootPath+"/innocent"))
		refused(t, c, "leads into a procfs")
		c = bundle(t, bind(dir, "/innocent"))
		must(t, os.Symlink("/", c.RootPath+"/innocent"))
		refused(t, c, "leads to the container's root")

		// The one name stands for another file of a procfs.
		c = bundle(t, bind("/proc", "/other", "rbind"), bind(dir+"/file", "/proc/stat"))
		c.Spec.Mounts = c.Spec.Mounts[1:]
		replace(t, c.RootPath+"/proc", "/other/1")
		refused(t, c, "too many levels of symbolic links")

		// What lxcfs emulates is fine.
		k := start(t, bundle(t, bind(dir+"/file", "/proc/uptime"), bind("/proc", "/proc", "rbind")))
		k.want("cat /proc/version | cut -c 1-5", "Linux")
		k = start(t, bundle(t, bind(dir+"/file", "/proc/uptime")))
		k.want("cat /proc/uptime", "fake")
	})
}

// Links of the image lead nowhere but into the image, for mount points that are
// there, that are to be made, and that are files.
func TestAttackTargetLinks(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		victim, vol := t.TempDir(), t.TempDir()
		write(t, vol+"/file", "volume")
		c := bundle(t,
			bind(vol, "/abs/new"), bind(vol, "/rel/new"), bind(vol+"/file", "/file"),
			bind(vol+"/file", "/dangling"), bind(vol, "/self/x"))
		must(t,
			os.Symlink(victim, c.RootPath+"/abs"),
			os.Symlink("../../../../../../../../.."+victim, c.RootPath+"/rel"),
			os.Symlink(victim+"/file", c.RootPath+"/file"),
			os.Symlink("../run/made/later", c.RootPath+"/dangling"),
			os.Symlink("/bin/../self2/..", c.RootPath+"/self"))
		refused(t, c, "on /self/x: openat2")
		empty(t, victim)
		c.Spec.Mounts = c.Spec.Mounts[:len(c.Spec.Mounts)-1]
		k := start(t, c)
		empty(t, victim)
		k.want(
			"cat /file /dangling /abs/new/file /rel/new/file; readlink /dangling",
			strings.Repeat("volume", 4)+"../run/made/later",
		)

		// A circle, and magic links.
		c = bundle(t, bind(vol, "/circle/x"))
		must(t, os.Symlink("circle", c.RootPath+"/circle"))
		refused(t, c, "too many levels of symbolic links")
		c = bundle(t, bind(vol, "/magic/x"))
		must(t, os.Symlink("/proc/1/root", c.RootPath+"/magic"))
		refused(t, c, "too many levels of symbolic links")
	})
}

// swap exchanges two files for each other, over and over, until the end of the
// test or stop.
func swap(t *testing.T, one, two string) (stop func()) {
	end := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, two, unix.RENAME_EXCHANGE)
			}
		}
	})
	stop = sync.OnceFunc(func() {
		close(end)
		swapper.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// CVE-2021-30465, CVE-2024-45310: while mounts are made, a neighbour of the
// container's volume swaps directories of it for links to the host. Whatever
// happens inside, the host is not touched, nor what the container's own copy of
// the host's mounts has in its place.
func TestAttackSwap(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		victim, vol, src := t.TempDir(), t.TempDir(), t.TempDir()
		write(t, src+"/secret", "secret")
		out := strings.Repeat("../", 12) + victim
		must(
			t,
			os.MkdirAll(vol+"/a", 0o755),
			os.Symlink(out, vol+"/b"),
			os.MkdirAll(vol+"/c/d", 0o755),
			os.Symlink(out, vol+"/c/e"),
		)
		swap(t, vol+"/a", vol+"/b")
		swap(t, vol+"/c/d", vol+"/c/e")

		rootfs := bundle(t).RootPath
		made := 0
		for range 40 {
			c := bundleAt(
				rootfs,
				bind(vol, "/vol", "rbind"),
				bind(src, "/vol/a/deep/er"),
				bind(src+"/secret", "/vol/a/file"),
				bind(src, "/vol/a"),
				bind(src, "/vol/c/d/deep/er/still"),
			)
			k, err := begin(t, c)
			must(t, err)
			err = k.attach(func() error {
				info, err := os.ReadFile("/proc/thread-self/mountinfo")
				if strings.Contains(string(info), " "+victim) {
					t.Errorf("mounted on the host's %s:\n%s", victim, info)
				}
				return err
			})
			if err == nil {
				made++
			}
			empty(t, victim)
			must(t, os.RemoveAll(rootfs+victim)) // what the links led to
		}
		t.Logf("%d of 40 containers came to be", made)
	})
}

// bundleAt is bundle for a root that is there.
func bundleAt(rootfs string, mounts ...specs.Mount) *Config {
	spec := defaultSpec()
	spec.Root.Path = rootfs
	spec.Mounts = append(spec.Mounts, mounts...)
	return &Config{Spec: spec, Bundle: filepath.Dir(rootfs), RootPath: rootfs, OwnNetNS: true, OwnCgroupNS: true}
}

// CVE-2025-31133: the container's /dev/null is something else when files are
// masked with it.
func TestAttackMaskNull(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t)
		c.Spec.Mounts = c.Spec.Mounts[:1]
		c.Spec.Linux.MaskedPaths = []string{"/proc/keys", "/proc/interrupts"}
		k, err := begin(t, c)
		must(t, err)
		must(t, k.attach(func() error {
			dev := c.RootPath + "/dev/null"
			if err := os.Remove(dev); err != nil {
				return err
			}
			return os.Symlink("/proc/sys/kernel/core_pattern", dev)
		}))
		k.want("stat -c %t:%T /proc/keys /proc/interrupts; cat /proc/keys", "1:3\n1:3")

		// And a /dev/null that is no device at all is refused.
		c = bundle(t)
		c.Spec.Mounts = c.Spec.Mounts[:1]
		write(t, c.RootPath+"/dev/null", "")
		refused(t, c, "make device /dev/null: another file is in its place")
	})
}

// CVE-2025-52565: /dev/console, or the name of the pty, leads to a file of
// procfs before that is protected.
func TestAttackConsole(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t)
		c.Terminal = true
		c.Spec.Mounts = append(c.Spec.Mounts[:1], c.Spec.Mounts[2:]...) // the image's own /dev
		must(t, os.Symlink("/proc/sys/kernel/core_pattern", c.RootPath+"/dev/console"))
		k, err := begin(t, c)
		must(t, err)
		err = k.attach(func() error {
			master, slave, err := k.set.OpenPTY()
			if err != nil {
				return err
			}
			defer master.Close()
			defer slave.Close()
			return k.set.Console(slave)
		})
		if err == nil || err.Error() != "mount console on /dev/console: a link is in its place: too many levels of "+
			"symbolic links" {
			t.Errorf("got %v", err)
		}

		// A fake devpts.
		for _, fake := range []func(string) error{
			func(p string) error { return os.Symlink("/proc/sys/kernel/core_pattern", p) },
			func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, 5<<8|2) },
			func(p string) error { return unix.Mkfifo(p, 0o666) },
		} {
			c := bundle(t)
			c.Spec.Mounts = c.Spec.Mounts[:1]
			must(t, os.Mkdir(c.RootPath+"/dev/pts", 0o755), fake(c.RootPath+"/dev/pts/ptmx"))
			k, err := begin(t, c)
			must(t, err)
			err = k.attach(func() error {
				_, _, err := k.set.OpenPTY()
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "not on a devpts") {
				t.Errorf("got %v", err)
			}
		}
	})
}

// GHSA-3q8j-pf29-vwv8: a protected path is swapped between look and mount, by a
// neighbour with the same volume. What was protected stays protected. The volume is
// mounted in many places, each of which is another try.
func TestAttackProtectedSwap(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		vol := t.TempDir()
		write(t, vol+"/one/file", "one")
		write(t, vol+"/two/file", "two")
		stop := swap(t, vol+"/one", vol+"/two")
		rootfs := bundle(t).RootPath
		for round := range 10 {
			c := bundleAt(rootfs)
			const places = 64
			for i := range places {
				at := fmt.Sprintf("/vol%d", i)
				c.Spec.Mounts = append(c.Spec.Mounts, bind(vol, at))
				c.Spec.Linux.ReadonlyPaths = append(c.Spec.Linux.ReadonlyPaths, at+"/one")
			}
			k := start(t, c)
			k.want("grep -c ' /vol[0-9]*/[a-z]* ro,.* - ' /proc/self/mountinfo", strconv.Itoa(places))
			if round < 9 {
				continue
			}
			stop()
			k.want(
				"for d in /vol*; do for f in $d/*; do touch $f/x 2>/dev/null || echo ro; done; done | grep -c ro",
				strconv.Itoa(places),
			)
		}
	})
}

// A bind whose source is inside the rootfs is looked up there, not on the host.
func TestAttackSourceInRootfs(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		victim := t.TempDir()
		write(t, victim+"/secret", "secret")
		c := bundle(t)
		image := c.RootPath
		bundle := t.TempDir()
		must(t, os.Mkdir(bundle+"/rootfs", 0o755), os.Symlink(victim, image+"/link"))
		c.Bundle, c.RootPath = bundle, bundle+"/rootfs"
		c.Rootfs = []specs.Mount{{Type: "bind", Source: image, Options: []string{"rbind", "rw"}}}
		c.Spec.Mounts = append(c.Spec.Mounts, bind("rootfs/link", "/stolen"))
		refused(t, c, "no such file or directory")
		must(t, os.MkdirAll(filepath.Join(image, victim), 0o755))
		k := start(t, c)
		k.want("ls -A /stolen", "")

		// The same without rootfs mounts, and with the link as the way in.
		plain := bundleAt(
			image,
			bind("../"+filepath.Base(filepath.Dir(image))+"/"+filepath.Base(image)+"/link/secret", "/stolen"),
		)
		refused(t, plain, "no such file or directory")
		write(t, image+"/tree/file", "file")
		plain = bundleAt(image, bind(image+"/tree/", "/copy"), typed("tmpfs", "/tree"))
		k = start(t, plain)
		k.want("ls /tree; cat /copy/file", "file")

		// By a link of the host, whose own root the image's link would lead to.
		alias := t.TempDir() + "/alias"
		must(t, os.Symlink(filepath.Dir(image), alias), os.RemoveAll(filepath.Join(image, victim)))
		refused(
			t,
			bundleAt(image, bind(alias+"/"+filepath.Base(image)+"/link/secret", "/stolen")),
			"no such file or directory",
		)
		k = start(t, bundleAt(image, bind(alias+"/"+filepath.Base(image)+"/bin/../tree", "/copy")))
		k.want("cat /copy/file", "file")
	})
}

// A source inside the root sees the mounts before it, but no link leads it into one:
// neither the image's, to what the container has with masks only, nor one of a volume
// that somebody swaps meanwhile.
func TestAttackSourceInMounts(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t, bind("rootfs/data", "/again", "rbind", "rw"))
		c.Bundle = filepath.Dir(c.RootPath)
		must(t, os.Rename(c.RootPath, c.Bundle+"/rootfs"))
		c.RootPath = c.Bundle + "/rootfs"
		c.Spec.Root.Path = c.RootPath
		must(t, os.Symlink("/proc/sys", c.RootPath+"/data"))
		refused(
			t,
			c,
			"mount bind on /again: source: a link leads into another mount: open /data: too many levels of symbolic links",
		)

		vol := t.TempDir()
		must(t, os.Mkdir(vol+"/a", 0o755), os.Symlink("/proc/sys", vol+"/b"))
		write(t, vol+"/a/mark", "mark")
		swap(t, vol+"/a", vol+"/b")
		made := 0
		for range 60 {
			c := bundleAt(c.RootPath, bind(vol, "/vol"), bind(c.RootPath+"/vol/a", "/again", "rbind", "rw"))
			k, err := create(t, c)
			if err != nil {
				if !errors.Is(err, unix.ELOOP) {
					t.Fatal(err)
				}
				continue
			}
			made++
			k.want("cat /again/mark", "mark")
		}
		if made == 0 || made == 60 {
			t.Errorf("made %d of 60: nothing was swapped", made)
		}
	})
}

// Nothing of the host stays reachable: no mount of it, no way up.
func TestAttackOldRoot(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		k := start(t, bundle(t))
		k.want(
			"cd /..; ls -d root bin dev etc proc run sys tmp | wc -l; ls /../../etc/hostname",
			"8\nls: /../../etc/hostname: No such file or directory",
		)
		k.want(
			"awk '{print $1}' /proc/1/mountinfo | wc -l",
			k.run("awk '$5 ~ \"^/\" {print $1}' /proc/self/mountinfo | wc -l"),
		)
	})
}

// A user namespace's root has no rights to a volume of the host's root: a link of
// the image does not have the shim make files there for it.
func TestAttackUnmappedVolume(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		vol, src := t.TempDir(), t.TempDir()
		write(t, src+"/file", "file")
		must(t, os.Mkdir(vol+"/closed", 0o700), os.Mkdir(vol+"/open", 0o777), os.Chmod(vol+"/open", 0o777))
		for link, reached := range map[string]string{
			"/vol/made":          "",
			"/vol/closed/made":   "/closed",
			"/vol/made/dir/made": "",
			"/vol/open/made":     "/open",
		} {
			c := usernsBundle(t, bind(vol, "/vol"), bind(src+"/file", "/etc/innocent"))
			must(t, os.Symlink(link, c.RootPath+"/etc/innocent"))
			if reached == "/open" { // where anybody may, it may
				start(t, c).want("cat /etc/innocent", "file")
				continue
			}
			refused(t, c, "permission denied")
			if entries, err := os.ReadDir(vol + reached); err != nil || len(entries) > 2 || reached != "" && len(entries) > 0 {
				t.Errorf("%s: %v, %v", link, entries, err)
			}
		}
	})
}
