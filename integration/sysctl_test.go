// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestSysctls(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max",
			spec(func(s *specs.Spec) {
				s.Linux.Sysctl = map[string]string{
					"net.ipv4.ip_unprivileged_port_start": "81", "kernel.msgmax": "8191", "fs.mqueue.msg_max": "11",
				}
			}))
		h.equal("stdout", out, "81\n8191\n11")
		for _, name := range []string{"kernel.core_pattern", "vm.overcommit_memory", "kernel/../kernel.core_pattern"} {
			_, err := h.container(sh("echo"), spec(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{name: "1"} })).
				NewTask(h.ctx, cio.NullIO)
			if err == nil {
				t.Errorf("%s, which is the host's, can be set", name)
			}
		}
		_, err := h.container(sh("echo"), hostNamespace(specs.NetworkNamespace),
			spec(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"} })).
			NewTask(h.ctx, cio.NullIO)
		if err == nil {
			t.Error("a net sysctl of the host can be set")
		}
	})
}

// TestSysctlsOfAUserNamespace: those of IPC belong to the root of the user namespace,
// and the host's root may not write them.
func TestSysctlsOfAUserNamespace(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		values := map[string]string{
			"kernel.msgmax": "8191", "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "11", "net.ipv4.ip_default_ttl": "70",
			"net.ipv4.ping_group_range": "0 5",
		}
		out := h.prints("cat /proc/sys/kernel/msgmax /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max /proc/sys/net/ipv4/ip_default_ttl",
			userNamespace(100000), bind("/etc/hosts", "/etc/hosts"), spec(func(s *specs.Spec) { s.Linux.Sysctl = values; s.Root.Readonly = true }))
		h.equal("stdout", out, "8191\n1\n11\n70")
	})
}

// TestSysctlsOfTheHostByItsPath: a path that leads to the host's namespace does not
// make its parameters the container's. The values are the host's own already, and
// runc, which looks at network namespaces only, is asked about those only.
func TestSysctlsOfTheHostByItsPath(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		link := filepath.Join(t.TempDir(), "ns")
		h.must(os.Symlink("/proc/1/ns/net", link))
		for _, c := range []struct {
			name string
			kind specs.LinuxNamespaceType
			path string
			mini bool
		}{
			{"net.ipv4.ip_default_ttl", specs.NetworkNamespace, "/proc/1/ns/net", false},
			{"net/ipv4/ip_default_ttl", specs.NetworkNamespace, "/proc/self/ns/net", false},
			{"net.ipv4.ip_default_ttl", specs.NetworkNamespace, link, false},
			{"kernel.msgmax", specs.IPCNamespace, "/proc/1/ns/ipc", true},
			{"fs.mqueue.msg_max", specs.IPCNamespace, "/proc/self/ns/ipc", true},
			{"kernel.domainname", specs.UTSNamespace, "/proc/1/ns/uts", true},
		} {
			if c.mini && !h.mini() {
				continue
			}
			value, err := os.ReadFile("/proc/sys/" + strings.NewReplacer(".", "/").Replace(c.name))
			h.must(err)
			_, err = h.container(sh("true"), namespace(c.kind, c.path), spec(func(s *specs.Spec) {
				s.Linux.Sysctl = map[string]string{c.name: strings.TrimSpace(string(value))}
			})).NewTask(h.ctx, cio.NullIO)
			if err == nil || !strings.Contains(err.Error(), "sysctl") {
				t.Errorf("%s of %s: %v", c.name, c.path, err)
			}
			if h.mini() && !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s of %s: %v is not an invalid argument", c.name, c.path, err)
			}
		}
		// One that another container has can be joined and changed.
		first := h.start(forever())
		first.expect("ready")
		out := h.prints("cat /proc/sys/net/ipv4/ip_default_ttl", namespace(specs.NetworkNamespace, fmt.Sprintf("/proc/%d/ns/net", first.Pid())),
			spec(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "77"} }))
		h.equal("stdout", out, "77")
		first.kill()
	})
}
