// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// ip runs ip(8) on the bed's network, which is the host of these tests.
func (h *harness) ip(args ...string) string {
	h.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		h.Fatalf("ip %v: %v: %s", args, err, out)
	}
	return string(out)
}

// netDevice makes a device on the host, and returns the option that gives it to a
// container under another name.
func (h *harness) netDevice(as string) oci.SpecOpts {
	h.ip("link", "add", "name", "moved0", "address", "02:00:00:00:00:07", "mtu", "1400", "type", "veth", "peer", "name", "stays0")
	h.Cleanup(func() { _ = exec.Command("ip", "link", "del", "stays0").Run() }) // it may have gone with the container
	h.ip("addr", "add", "10.7.0.1/24", "broadcast", "10.7.0.255", "dev", "moved0")
	h.ip("addr", "add", "fd07::1/64", "nodad", "dev", "moved0")
	h.ip("addr", "add", "169.254.7.7/16", "scope", "link", "dev", "moved0")
	return spec(func(s *specs.Spec) {
		s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"moved0": {Name: as}}
	})
}

// TestNetDevices: a device of the host is the container's, renamed, up, with MTU,
// MAC and its permanent addresses of global scope.
func TestNetDevices(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for as, name := range map[string]string{"": "moved0", "eth7": "eth7"} {
			opt := h.netDevice(as)
			task := h.start(opt, sh("ip addr show dev "+name+"; echo ready; read x"))
			task.expect("ready")
			for _, text := range []string{"UP", "mtu 1400", "link/ether 02:00:00:00:00:07", "inet 10.7.0.1/24", "inet6 fd07::1/64"} {
				if !h.mini() && strings.HasPrefix(text, "inet6") {
					continue // runc sets the device down first, which loses those
				}
				if out := task.out.String(); !strings.Contains(out, text) {
					t.Errorf("%s: no %q in %s", name, text, out)
				}
			}
			if out := task.out.String(); strings.Contains(out, "169.254") {
				t.Errorf("%s: an address of the link's scope: %s", name, out)
			}
			if out := h.ip("link"); strings.Contains(out, "moved0@") {
				t.Errorf("still on the host: %s", out)
			}
			task.kill()
			h.eventually(func() error { // the kernel takes its time with a namespace
				if out := h.ip("link"); strings.Contains(out, "stays0") {
					return fmt.Errorf("the pair has not gone with the container: %s", out)
				}
				return nil
			})
		}
	})
}

// TestNetDeviceThatCannotMove stays as it was, with a failed Create.
func TestNetDeviceThatCannotMove(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		_, err := h.container(h.netDevice("lo"), sh("true")).NewTask(h.ctx, cio.NullIO)
		if err == nil || !strings.Contains(err.Error(), "file exists") {
			t.Errorf("under a name that is taken: %v; want file exists", err)
		}
		if h.mini() { // runc's is lost with the namespace
			if out := h.ip("addr", "show", "dev", "moved0"); !strings.Contains(out, "fd07::1/64") {
				t.Errorf("the device is not as it was: %s", out)
			}
		}
		_, err = h.container(spec(func(s *specs.Spec) {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"nosuch0": {}}
		}), sh("true")).NewTask(h.ctx, cio.NullIO)
		if err == nil || !strings.Contains(err.Error(), "nosuch0") {
			t.Errorf("a device that is not there: %v", err)
		}
	})
}

// TestNetDevicesComeBack when Create fails after they were moved.
func TestNetDevicesComeBack(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		_, err := h.container(h.netDevice("eth7"), hookScript("createRuntime", "exit 1"), sh("true")).NewTask(h.ctx, cio.NullIO)
		if err == nil {
			t.Error("it is created")
		}
		if out := h.ip("addr", "show", "dev", "moved0"); !strings.Contains(out, "fd07::1/64") || !strings.Contains(out, "10.7.0.1/24") {
			t.Errorf("the device is not as it was: %s", out)
		}
	})
}
