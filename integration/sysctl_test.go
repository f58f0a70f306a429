// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
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

// TestSysctlsOfUserNamespaces: the limits on namespaces are those of the container's
// user namespace, new or joined; without one of its own they would be the host's.
func TestSysctlsOfUserNamespaces(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const file = "/proc/sys/user/max_mnt_namespaces"
		before, err := os.ReadFile(file)
		h.must(err)
		limit := func(value string) oci.SpecOpts {
			return spec(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"user.max_mnt_namespaces": value} })
		}
		c := h.start(userNamespace(100000), limit("17"), sh("cat "+file+"; echo ready; read x"))
		c.expect("ready")
		h.equal("stdout", c.out.String(), "17\nready\n")
		out, errs, _ := c.execs(sh("cat " + file))
		h.equal("exec: "+errs, out, "17\n")
		join := namespace(specs.UserNamespace, fmt.Sprintf("/proc/%d/ns/user", c.Pid()))
		h.equal("joined", h.prints("cat "+file, userNamespace(100000), join, limit("18")), "18")
		c.kill()
		for name, opts := range map[string][]oci.SpecOpts{
			"without one": {limit("17")},
			"its path":    {userNamespace(100000), namespace(specs.UserNamespace, "/proc/1/ns/user"), limit("17")},
		} {
			_, err := h.container(append(opts, sh("true"))...).NewTask(h.ctx, cio.NullIO)
			if err == nil || h.mini() && !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		after, err := os.ReadFile(file)
		h.must(err)
		h.equal("the host's", string(after), string(before))
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
