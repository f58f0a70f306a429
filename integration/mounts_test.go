// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	coremount "github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// mountLine is what mountinfo says of a mount inside the container: options of
// the mount, type and options of the superblock.
func (h *harness) mountLine(place string, opts ...oci.SpecOpts) (flags []string, fstype string, data []string) {
	h.Helper()
	out := h.prints("cat /proc/self/mountinfo", opts...)
	for line := range strings.Lines(out) {
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if f[4] == place { // the last one counts: it is on top
			flags, fstype, data = strings.Split(f[5], ","), g[0], strings.Split(g[2], ",")
		}
	}
	if fstype == "" {
		h.Fatalf("no mount on %s in:\n%s", place, out)
	}
	return flags, fstype, data
}

// TestMountOptions mounts each filesystem with options, and reads them back.
func TestMountOptions(t *testing.T) {
	source := t.TempDir()
	tests := []struct {
		name   string
		mount  specs.Mount
		fstype string
		flags  []string // each must be among the mount's options
		not    []string // none may be
		data   []string // each must be among the superblock's options
	}{
		{
			"tmpfs",
			specs.Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "noexec", "mode=1750", "size=64k", "nr_inodes=50"}},
			"tmpfs",
			[]string{"nosuid", "nodev", "noexec", "rw", "relatime"},
			nil,
			[]string{"size=64k", "mode=1750", "nr_inodes=50"},
		},
		{"tmpfs, read only", specs.Mount{Type: "tmpfs", Source: "x", Options: []string{"ro", "noatime"}}, "tmpfs", []string{"ro", "noatime"}, nil, nil},
		{"tmpfs, strictatime", specs.Mount{Type: "tmpfs", Source: "x", Options: []string{"strictatime"}}, "tmpfs", nil, []string{"relatime", "noatime"}, nil},
		{"bind", specs.Mount{Type: "bind", Source: source, Options: []string{"bind"}}, "", []string{"rw"}, nil, nil},
		{"bind by its option", specs.Mount{Type: "none", Source: source, Options: []string{"rbind", "ro", "nosuid"}}, "", []string{"ro", "nosuid"}, nil, nil},
		{
			"bind, every flag",
			specs.Mount{Source: source, Options: []string{"bind", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"}},
			"",
			[]string{"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"},
			nil, nil,
		},
		{"bind, nosymfollow", specs.Mount{Source: source, Options: []string{"bind", "nosymfollow"}}, "", []string{"nosymfollow"}, nil, nil},
		{"the last of two opposites", specs.Mount{Source: source, Options: []string{"bind", "ro", "rw", "noexec", "exec"}}, "", []string{"rw"}, []string{"noexec"}, nil},
		{"proc", specs.Mount{Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev", "ro"}}, "proc", []string{"nosuid", "noexec", "nodev", "ro"}, nil, nil},
		{"sysfs", specs.Mount{Type: "sysfs", Source: "sysfs", Options: []string{"ro", "noexec"}}, "sysfs", []string{"ro", "noexec"}, nil, nil},
		{
			"devpts",
			specs.Mount{Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			"devpts", nil, nil,
			[]string{"gid=5", "mode=620", "ptmxmode=666"},
		},
		{"mqueue", specs.Mount{Type: "mqueue", Source: "mqueue", Options: []string{"nosuid"}}, "mqueue", []string{"nosuid"}, nil, nil},
		{"cgroup", specs.Mount{Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}}, "cgroup2", []string{"ro", "nosuid", "noexec", "nodev"}, nil, nil},
	}
	each(t, func(t *testing.T, h *harness) {
		for _, test := range tests {
			test.mount.Destination = "/mnt/here"
			flags, fstype, data := h.mountLine("/mnt/here", spec(func(s *specs.Spec) { s.Mounts = append(s.Mounts, test.mount) }))
			if test.fstype != "" && fstype != test.fstype {
				t.Errorf("%s: type %s, want %s", test.name, fstype, test.fstype)
			}
			for _, want := range test.flags {
				if !slices.Contains(flags, want) {
					t.Errorf("%s: no %s among %v", test.name, want, flags)
				}
			}
			for _, not := range test.not {
				if slices.Contains(flags, not) {
					t.Errorf("%s: %s among %v", test.name, not, flags)
				}
			}
			for _, want := range test.data {
				if !slices.Contains(data, want) {
					t.Errorf("%s: no %s among %v", test.name, want, data)
				}
			}
		}
	})
}

// TestRecursiveOptions: rro is for the mounts below as well, ro is not.
func TestRecursiveOptions(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		source := t.TempDir()
		below := filepath.Join(source, "below")
		h.must(os.Mkdir(below, 0o755))
		h.must(syscall.Mount("tmpfs", below, "tmpfs", 0, ""))
		t.Cleanup(func() { syscall.Unmount(below, 0) })
		for options, want := range map[string]string{
			"rbind,ro": "ro rw", "rbind,rro": "ro ro", "bind,ro": "ro", "rbind": "rw rw",
			"rbind,rnosuid,rnoexec": "rw,nosuid,noexec rw,nosuid,noexec",
		} {
			out := h.prints(`grep -E ' /mnt/here(/below)? ' /proc/self/mountinfo | cut -d' ' -f6 | sed s/,relatime//`,
				mount("none", source, "/mnt/here", strings.Split(options, ",")...))
			h.equal(options, strings.Join(strings.Fields(out), " "), want)
		}
	})
}

// TestBindInsideTheRoot: a bind of something inside the root shows what an earlier
// mount has put there. TestAccessTimes: a bind keeps its source's noatime, unless a
// mode is named.
func TestBindInsideTheRoot(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		vol := t.TempDir()
		h.must(os.Mkdir(vol+"/sub", 0o755))
		h.must(os.WriteFile(vol+"/sub/file", []byte("volume"), 0o644))
		out := h.prints("cat /mnt/dir/file; ls -A /mnt/empty", bind(vol, "/mnt/first"), bind("rootfs/mnt/first/sub", "/mnt/dir"),
			mount("tmpfs", "tmpfs", "/mnt/first"), bind("rootfs/mnt/first", "/mnt/empty"))
		h.equal("stdout", out, "volume")
	})
}

func TestAccessTimes(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		vol := t.TempDir()
		h.must(syscall.Mount("tmpfs", vol, "tmpfs", syscall.MS_NOATIME, ""))
		t.Cleanup(func() { syscall.Unmount(vol, 0) })
		for option, want := range map[string]string{
			"atime": "rw,noatime", "norelatime": "rw,noatime", "nostrictatime": "rw,noatime", "diratime": "rw,noatime", "ro": "ro,noatime",
			"relatime": "rw,relatime", "strictatime": "rw",
		} {
			flags, _, _ := h.mountLine("/mnt/here", bind(vol, "/mnt/here", option))
			h.equal(option, strings.Join(flags, ","), want)
		}
	})
}

func TestBindOfAFile(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		file := filepath.Join(t.TempDir(), "file")
		h.must(os.WriteFile(file, []byte("from outside\n"), 0o644))
		out := h.prints("cat /a/b/c /etc/hostname; echo changed >/a/b/c",
			bind(file, "/a/b/c"), bind(file, "/etc/hostname", "ro"))
		h.equal("stdout", out, "from outside\nfrom outside")
		data, err := os.ReadFile(file)
		h.must(err)
		h.equal("file", string(data), "changed\n")
	})
}

// TestMountOnASymlink: a link of the image is followed inside the root, also
// one that means to lead out of it.
func TestMountOnASymlink(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		source, outside := t.TempDir(), t.TempDir()
		h.must(os.WriteFile(source+"/mark", nil, 0o644))
		links := t.TempDir()
		h.must(os.Symlink(outside, links+"/absolute"))
		h.must(os.Symlink("../../../../../.."+outside, links+"/relative"))
		out := h.prints("cd "+outside+" && ls", bind(links, "/links"),
			bind(source, "/links/absolute"))
		h.equal("the absolute link", out, "mark")
		out = h.prints("cd "+outside+" && ls", bind(links, "/links"), bind(source, "/links/relative"))
		h.equal("the relative link", out, "mark")
		entries, err := os.ReadDir(outside)
		h.must(err)
		if len(entries) > 0 {
			t.Errorf("outside: %v", entries)
		}
	})
}

func TestMountOrder(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		source := t.TempDir()
		h.must(os.Mkdir(source+"/sub", 0o755))
		out := h.prints("ls /mnt; ls /mnt/sub", bind(source, "/mnt"),
			mount("tmpfs", "tmpfs", "/mnt/sub"), bind(source, "/mnt/sub/again"))
		h.equal("stdout", out, "sub\nagain")
	})
}

func TestReadOnlyRoot(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("touch /x 2>/dev/null || echo read only; touch /tmp/x && echo writable",
			oci.WithRootFSReadonly(), mount("tmpfs", "tmpfs", "/tmp"))
		h.equal("stdout", out, "read only\nwritable")
	})
}

func TestMaskedAndReadOnlyPaths(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints(`wc -c </etc/passwd; ls -A /home; touch /home/x 2>/dev/null || echo masked
			touch /var/x 2>/dev/null || echo read only; touch /tmp/x && echo writable`,
			spec(func(s *specs.Spec) {
				s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/etc/passwd", "/home", "/not/there")
				s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/var", "/not/there/either")
			}))
		h.equal("stdout", out, "0\nmasked\nread only\nwritable")
	})
}

func TestRootfsPropagation(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for propagation, want := range map[string]string{
			"": "", "private": "", "rprivate": "", "shared": "shared:", "slave": "", "unbindable": "unbindable",
		} {
			out := h.prints(`awk '$5 == "/"' /proc/self/mountinfo | sed 's/ - .*//' | cut -d' ' -f7-`,
				spec(func(s *specs.Spec) { s.Linux.RootfsPropagation = propagation }))
			if want == "" && out != "" && propagation != "slave" || !strings.Contains(out, want) {
				t.Errorf("%q: propagation %q, want %q", propagation, out, want)
			}
		}
	})
}

func TestMountPropagation(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		source := t.TempDir()
		h.must(syscall.Mount("tmpfs", source, "tmpfs", 0, ""))
		t.Cleanup(func() { syscall.Unmount(source, syscall.MNT_DETACH) })
		h.must(syscall.Mount("", source, "", syscall.MS_SHARED, ""))
		h.must(os.Mkdir(source+"/late", 0o755))
		c := h.start(sh("echo ready; while ! test -e /mnt/late/mark; do sleep 0.02; done"),
			mount("none", source, "/mnt", "rbind", "rslave"))
		c.expect("ready")
		late := filepath.Join(source, "late")
		h.must(syscall.Mount("tmpfs", late, "tmpfs", 0, ""))
		t.Cleanup(func() { syscall.Unmount(late, 0) })
		h.must(os.WriteFile(filepath.Join(late, "mark"), nil, 0o644))
		if code := c.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		c.delete()
	})
}

// TestTmpfsMode: a tmpfs without a mode takes that of the directory below it.
func TestTmpfsMode(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("stat -c %a /tmp /fresh", mount("tmpfs", "tmpfs", "/tmp"), mount("tmpfs", "tmpfs", "/fresh", "mode=711"))
		h.equal("stdout", out, "1777\n711")
	})
}

// TestRootfsIsPrivate: the rootfs is mounted in the container only, where runc
// has it on the host.
func TestRootfsIsPrivate(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		c := h.start(forever())
		c.expect("ready")
		data, err := os.ReadFile("/proc/self/mountinfo")
		h.must(err)
		if strings.Contains(string(data), h.d.StateDir()) {
			t.Errorf("mounts of the container on the host:\n%s", data)
		}
		shim, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", c.shim()))
		h.must(err)
		if strings.Contains(string(shim), h.d.StateDir()) {
			t.Errorf("mounts of the container in the shim:\n%s", shim)
		}
		c.kill()
	})
}

// TestContainerSeesItsMountsOnly: nothing of the host's mounts is in reach.
func TestContainerSeesItsMountsOnly(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints(`cut -d' ' -f5 /proc/self/mountinfo | sort | tr '\n' ' '`)
		for place := range strings.FieldsSeq(out) {
			if place != "/" && !strings.HasPrefix(place, "/proc") && !strings.HasPrefix(place, "/dev") &&
				!strings.HasPrefix(place, "/sys") && place != "/run" {
				t.Errorf("a mount on %s", place)
			}
		}
	})
}

// TestManyLayers has an overlay with more lower directories than one string
// of the new mount API holds.
func TestManyLayers(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		base := "/run/layers-" + filepath.Base(h.d.Dir)
		h.must(os.MkdirAll(base, 0o755))
		t.Cleanup(func() { os.RemoveAll(base) })
		var lowers []string
		for i := range 60 {
			dir := fmt.Sprintf("%s/a-lower-directory-with-a-long-name-%02d", base, i)
			h.must(os.MkdirAll(dir, 0o755))
			h.must(os.WriteFile(fmt.Sprintf("%s/file%02d", dir, i), nil, 0o644))
			lowers = append(lowers, dir)
		}
		for _, dir := range []string{"bin", "dev", "proc", "run", "sys"} {
			h.must(os.Mkdir(filepath.Join(lowers[59], dir), 0o755))
		}
		bin := filepath.Join(lowers[59], "bin")
		busybox, err := exec.LookPath("busybox")
		h.must(err)
		data, err := os.ReadFile(busybox)
		h.must(err)
		h.must(os.WriteFile(bin+"/sh", data, 0o755))
		h.must(os.WriteFile(bin+"/busybox", data, 0o755))
		c := h.container(oci.WithProcessArgs("/bin/sh", "-c", "/bin/busybox ls / | /bin/busybox grep -c file"))
		task, err := h.tryCreate(c, withRootfs("overlay", "lowerdir="+strings.Join(lowers, ":")))
		h.must(err)
		h.must(task.Start(h.ctx))
		if code := task.wait(); code != 0 {
			t.Errorf("exit code %d, stderr %s", code, task.errs)
		}
		_, err = task.Delete(h.ctx)
		h.must(err)
		h.equal("stdout", task.out.String(), "60\n")
	})
}

// TestNoMountsAtAll: not even a proc. runc needs one.
func TestNoMountsAtAll(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		out, errs, code := h.run(sh("echo alive"), spec(func(s *specs.Spec) {
			s.Mounts = nil
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		}))
		if code != 0 || out != "alive\n" {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
		}
	})
}

// TestMountSourceIsMissing: Create fails, and says what is missing.
func TestMountSourceIsMissing(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		_, err := h.container(sh("echo"), bind("/no/such/source", "/mnt")).NewTask(h.ctx, cio.NullIO)
		if err == nil || !strings.Contains(err.Error(), "/no/such/source") {
			t.Errorf("%v; want an error that names the source", err)
		}
	})
}

// withRootfs replaces the mounts that make the rootfs.
func withRootfs(fstype string, options ...string) client.NewTaskOpts {
	return client.WithRootFS([]coremount.Mount{{Type: fstype, Source: fstype, Options: options}})
}
