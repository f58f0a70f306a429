// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	coremount "github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// mappedBind adds a bind whose owners are mapped: the uid u on the host's
// filesystem is uid+u, and so on; a size of 0 adds no mapping.
func mappedBind(source, destination string, uid, gid, size uint32, options ...string) oci.SpecOpts {
	return spec(func(s *specs.Spec) {
		m := specs.Mount{Source: source, Destination: destination, Options: options}
		if size > 0 {
			m.UIDMappings = []specs.LinuxIDMapping{{HostID: uid, Size: size}}
			m.GIDMappings = []specs.LinuxIDMapping{{HostID: gid, Size: size}}
		}
		s.Mounts = append(s.Mounts, m)
	})
}

// ownedTree is a directory with a file of owner 7:8, and a mount below it with
// another.
func (h *harness) ownedTree() string {
	// A tmpfs can have its owners mapped since Linux 6.3 only.
	dir, other := h.TempDir(), h.TempDir()
	h.must(os.Chmod(filepath.Dir(dir), 0o755))
	h.must(os.Mkdir(dir+"/below", 0o755))
	h.must(syscall.Mount(other, dir+"/below", "", syscall.MS_BIND, ""))
	h.Cleanup(func() { syscall.Unmount(dir+"/below", syscall.MNT_DETACH) })
	for _, file := range []string{dir + "/file", dir + "/below/file"} {
		h.must(os.WriteFile(file, nil, 0o644))
		h.must(os.Chown(file, 7, 8))
	}
	return dir
}

// TestMappedMounts: idmap, ridmap, their own and the implied mapping, with and
// without a user namespace.
func TestMappedMounts(t *testing.T) {
	const id, nobody = 100000, "65534:65534"
	each(t, func(t *testing.T, h *harness) {
		dir := h.ownedTree()
		for _, test := range []struct {
			options   string
			base      uint32 // of the mount's own mapping
			size      uint32
			userns    bool
			top, deep string // the owners of both files
		}{
			{"rbind", 0, 0, true, nobody, nobody},
			{"rbind,idmap", 0, 0, true, "7:8", nobody},
			{"rbind,ridmap", 0, 0, true, "7:8", "7:8"},
			{"rbind", id, 65536, true, "7:8", nobody},
			{"rbind,idmap", id + 1000, 50, true, "1007:1008", nobody},
			{"rbind,ridmap", id + 1000, 50, true, "1007:1008", "1007:1008"},
			{"rbind,ridmap", id, 8, true, "7:65534", "7:65534"},
			{"rbind", id, 65536, false, "100007:100008", "7:8"},
			{"rbind,ridmap,ro", id, 65536, false, "100007:100008", "100007:100008"},
		} {
			opts := []oci.SpecOpts{mappedBind(dir, "/home", test.base, test.base, test.size, strings.Split(test.options, ",")...)}
			if test.userns {
				opts = append(opts, userNamespace(id))
			}
			out := h.prints("stat -c %u:%g /home/file /home/below/file", opts...)
			h.equal(fmt.Sprintf("%+v", test), out, test.top+"\n"+test.deep)
		}
	})
}

// TestMappedMountInAPod: a container that has joined the user namespace of
// another has its mapping, and what it writes is the host's root's.
func TestMappedMountInAPod(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir := h.ownedTree()
		pod := h.start(userNamespace(100000), forever())
		pod.expect("ready")
		path := fmt.Sprintf("/proc/%d/ns/user", pod.Pid())
		out := h.prints("stat -c %u:%g /home/file /home/below/file; touch /home/new; stat -c %u /home/new",
			mappedBind(dir, "/home", 0, 0, 0, "rbind", "ridmap"), userNamespace(100000), namespace(specs.UserNamespace, path))
		h.equal("stdout", out, "7:8\n7:8\n0")
		info, err := os.Stat(dir + "/new")
		h.must(err)
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 {
			t.Errorf("on the host the file belongs to %d", uid)
		}
		pod.kill()
	})
}

// TestMappedMountsRefused: each fails Create, in mini by the field's name.
func TestMappedMountsRefused(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		one := []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
		for _, test := range []struct {
			text  string // in mini's error
			mount specs.Mount
		}{
			{"].options: idmap without mappings and without a user namespace", specs.Mount{Source: "/tmp", Options: []string{"bind", "idmap"}}},
			{"].gidMappings: missing", specs.Mount{Source: "/tmp", Options: []string{"bind", "idmap"}, UIDMappings: one}},
			{"].uidMappings: missing", specs.Mount{Source: "/tmp", Options: []string{"bind"}, GIDMappings: one}},
			{"].options: mapped owners of a mount that is no bind", specs.Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"idmap"}, UIDMappings: one, GIDMappings: one}},
			{"/mnt: map owners: the filesystem cannot", specs.Mount{Source: "/proc/sys", Options: []string{"bind", "idmap"}, UIDMappings: one, GIDMappings: one}},
		} {
			test.mount.Destination = "/mnt"
			_, err := h.container(sh("echo"), spec(func(s *specs.Spec) { s.Mounts = append(s.Mounts, test.mount) })).NewTask(h.ctx, cio.NullIO)
			if err == nil || h.mini() && !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v; want an error with %q", err, test.text)
			}
		}
	})
}

// TestMappedRootfs: the mounts that containerd's snapshotter gives a container
// with a user namespace, whose image belongs to the host's root.
func TestMappedRootfs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const maps = "0:100000:65536"
		image := h.container(sh("true"))
		info, err := image.Info(h.ctx)
		h.must(err)
		mounts, err := h.d.Client.SnapshotService(info.Snapshotter).Mounts(h.ctx, info.SnapshotKey)
		h.must(err)
		lower := ""
		for _, o := range mounts[0].Options {
			if l, ok := strings.CutPrefix(o, "lowerdir="); ok {
				lower = l
			}
		}
		if lower == "" {
			t.Fatalf("no layer among %v", mounts)
		}
		// containerd's own may be on a tmpfs, which maps owners since Linux 6.3 only.
		layer := filepath.Join(t.TempDir(), "layer")
		if out, err := exec.Command("cp", "-a", lower, layer).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		work := "/run/mapped-" + filepath.Base(h.d.Dir)
		h.must(os.MkdirAll(work+"/work", 0o755))
		h.must(os.MkdirAll(work+"/upper", 0o755))
		t.Cleanup(func() { os.RemoveAll(work) })
		h.must(os.Chown(work+"/upper", 100000, 100000))
		c := h.container(userNamespace(100000), sh("stat -c %u:%g / /etc/passwd; echo x >>/etc/passwd && touch /new && stat -c %u /etc/passwd /new"))
		task, err := h.tryCreate(c, client.WithRootFS([]coremount.Mount{{Type: "overlay", Source: "overlay", Options: []string{
			"uidmap=" + maps, "gidmap=" + maps, "index=off", "workdir=" + work + "/work", "upperdir=" + work + "/upper", "lowerdir=" + layer,
		}}}))
		h.must(err)
		h.must(task.Start(h.ctx))
		if code := task.wait(); code != 0 {
			t.Errorf("exit code %d, stderr %s", code, task.errs)
		}
		_, err = task.Delete(h.ctx)
		h.must(err)
		h.equal("stdout", task.out.String(), "0:0\n0:0\n0\n0\n")
	})
}
