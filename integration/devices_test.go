// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestDefaultDevices(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("cd /dev; stat -c '%n %F %t:%T %a %u:%g' null zero full random urandom tty | sort; " +
			"for l in fd stdin stdout stderr core ptmx; do echo $l $(readlink $l); done; echo x >/dev/null && head -c2 /dev/zero | wc -c")
		const device = " character special file "
		core := "core"
		if _, err := os.Stat("/proc/kcore"); err == nil {
			core += " /proc/kcore"
		}
		want := strings.Join([]string{
			"full" + device + "1:7 666 0:0", "null" + device + "1:3 666 0:0", "random" + device + "1:8 666 0:0",
			"tty" + device + "5:0 666 0:0", "urandom" + device + "1:9 666 0:0", "zero" + device + "1:5 666 0:0",
			"fd /proc/self/fd", "stdin /proc/self/fd/0", "stdout /proc/self/fd/1", "stderr /proc/self/fd/2", core, "ptmx pts/ptmx", "2",
		}, "\n")
		h.equal("devices", out, want)
	})
}

func TestListedDevices(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		mode, uid, gid := os.FileMode(0o640), uint32(7), uint32(8)
		out := h.prints("stat -c '%n %F %t:%T %a %u:%g' /dev/mine /deep/down/pipe; head -c3 /dev/mine | wc -c",
			spec(func(s *specs.Spec) {
				s.Linux.Devices = append(s.Linux.Devices,
					specs.LinuxDevice{Path: "/dev/mine", Type: "c", Major: 1, Minor: 5, FileMode: &mode, UID: &uid, GID: &gid},
					specs.LinuxDevice{Path: "/deep/down/pipe", Type: "p", FileMode: &mode, UID: &uid, GID: &gid})
				major, minor := int64(1), int64(5)
				s.Linux.Resources.Devices = append(s.Linux.Resources.Devices,
					specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "rw"})
			}))
		h.equal("stdout", out, "/dev/mine character special file 1:5 640 7:8\n/deep/down/pipe fifo 0:0 640 7:8\n3")
	})
}

// TestDeviceFilter: a node can be made of any device, and opened of those only
// that the spec allows.
func TestDeviceFilter(t *testing.T) {
	major, minor := int64(1), int64(11)
	each(t, func(t *testing.T, h *harness) {
		const script = `mknod /dev/kmsg c 1 11; head -c0 </dev/kmsg && echo read; true >/dev/kmsg && echo written; head -c1 /dev/zero | wc -c`
		for access, want := range map[string]string{"": "1", "r": "read\n1", "w": "written\n1", "rw": "read\nwritten\n1"} {
			out, _, _ := h.run(sh("{ "+script+"; } 2>/dev/null"), oci.WithAddedCapabilities([]string{"CAP_SYSLOG"}), spec(func(s *specs.Spec) {
				if access != "" {
					s.Linux.Resources.Devices = append(s.Linux.Resources.Devices,
						specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: access})
				}
			}))
			h.equal("access "+access, out, want+"\n")
		}
	})
}

func TestPrivilegedDevices(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("mknod /dev/kmsg c 1 11; head -c0 </dev/kmsg && echo read", oci.WithPrivileged, oci.WithAllDevicesAllowed)
		h.equal("stdout", out, "read")
	})
}

// TestDevIsASymlink: an image whose /dev leads out of it must not have files
// made where it leads (CVE-2026-41579).
func TestDevIsASymlink(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		outside := t.TempDir()
		lower, upper, work := h.layer("lower"), h.layer("upper"), h.layer("work")
		h.must(os.Symlink(outside, lower+"/dev"))
		h.must(os.Mkdir(lower+"/proc", 0o755))
		c := h.container(sh("echo"), spec(func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Type: "proc", Source: "proc", Destination: "/proc"}}
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		}))
		_, err := c.NewTask(h.ctx, cio.NullIO, withRootfs("overlay", "lowerdir="+lower, "upperdir="+upper, "workdir="+work))
		if err == nil {
			t.Error("it is created, though it has no sh")
		}
		entries, err := os.ReadDir(outside)
		h.must(err)
		if len(entries) > 0 {
			t.Errorf("made outside: %v", entries)
		}
	})
}

// layer is an empty directory that overlay can use.
func (h *harness) layer(name string) string {
	h.Helper()
	dir, err := os.MkdirTemp("/run", "layer-"+name)
	h.must(err)
	h.must(os.Chmod(dir, 0o755))
	h.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
