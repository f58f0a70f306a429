// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

const (
	limits = `{"memory":{"limit":67108864,"swap":100663296},"cpu":{"shares":512,"quota":50000,"period":200000,"cpus":"1"},"pids":{"limit":42}}`
	files  = "memory.max 67108864, memory.swap.max 33554432, cpu.weight 59, cpu.max 50000 200000, cpuset.cpus 1, pids.max 42"
	shown  = "ActiveState=active Slice=minitest-a.slice Delegate=yes MemoryMax=67108864 MemorySwapMax=33554432 TasksMax=42 CPUWeight=59 CPUQuotaPerSecUSec=250ms AllowedCPUs=1"
	nobody = "/minitest.slice/minitest-a.slice/mini-%s.scope"
)

// TestScope: the life of a container in a scope, in a slice that was not there.
func TestScope(t *testing.T) {
	h := newHost(t)
	for _, runtime := range []string{mini, runc} {
		if runtime == runc && !testenv.Full() {
			continue
		}
		name := strings.TrimSuffix(strings.TrimPrefix(runtime, "io.containerd."), ".v2")
		unit, cgroup := "mini-"+name+".scope", fmt.Sprintf(nobody, name)
		c := h.start(container{
			runtime: runtime, path: "minitest-a.slice:mini:" + name, resources: limits,
			args: []string{"sh", "-c", "while sleep 0.1; do echo x >/dev/kmsg; mknod /tmp/kmsg c 1 11; echo x >/tmp/kmsg && echo written; echo x >/dev/null && echo null; rm -f /tmp/kmsg; done 2>/dev/null"},
		})
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.Pid()))
		h.must(err)
		if got := strings.TrimSpace(string(data)); got != "0::"+cgroup {
			t.Errorf("%s: in %s", name, got)
		}
		pids, err := c.Pids(h.ctx)
		h.must(err)
		for _, p := range pids {
			if data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.Pid)); strings.Contains(string(data), "shim") {
				t.Errorf("%s: %d is the shim's placeholder", name, p.Pid)
			}
		}
		c.holds(name, cgroup, files)
		h.shows(name, unit, shown)
		h.systemctl("daemon-reload")
		c.holds(name+": after daemon-reload", cgroup, files)
		h.shows(name+": after daemon-reload", unit, shown)
		h.systemctl("daemon-reexec")
		c.holds(name+": after daemon-reexec", cgroup, files)
		h.shows(name+": after daemon-reexec", unit, shown)

		var res specs.LinuxResources
		h.must(json.Unmarshal([]byte(`{"memory":{"limit":134217728,"swap":167772160},"pids":{"limit":99}}`), &res))
		h.must(c.Update(h.ctx, client.WithResources(&res)))
		updated := "memory.max 134217728, memory.swap.max 33554432, pids.max 99, cpu.weight 59, cpu.max 50000 200000"
		c.holds(name+": updated", cgroup, updated)
		h.shows(name+": updated", unit, "MemoryMax=134217728 TasksMax=99 CPUWeight=59")
		h.systemctl("daemon-reload")
		c.holds(name+": updated, after daemon-reload", cgroup, updated)
		if out := c.out.String(); strings.Contains(out, "written") || !strings.Contains(out, "null") {
			t.Errorf("%s: wrote to a device that is denied, or not to one that is allowed: %q", name, out)
		}
		c.end()
		h.gone(unit, cgroup)
	}
}

// TestPathAloneAsksForSystemd: kubelet's form of a path says enough.
func TestPathAloneAsksForSystemd(t *testing.T) {
	h := newHost(t)
	c := h.start(container{
		runtime: mini, path: "minitest-a.slice:mini:alone", noOption: true, args: []string{"sleep", "1000"},
		annotations: map[string]string{"org.systemd.property.TimeoutStopSec": "uint64 7", "org.systemd.property.Documentation": "['man:x(1)']"},
	})
	h.shows("running", "mini-alone.scope", "ActiveState=active TimeoutStopUSec=7s Documentation=\"man:x(1)\"")
	c.end()
	h.gone("mini-alone.scope", fmt.Sprintf(nobody, "alone"))
}

// TestNothingIsLeft: of a container that cannot be, or whose shim died, or that
// was killed for want of memory.
func TestNothingIsLeft(t *testing.T) {
	h := newHost(t)
	for what, c := range map[string]struct {
		container
		is func(error) bool
	}{
		"command":  {container{args: []string{"/nowhere"}}, errdefs.IsNotFound},
		"property": {container{args: []string{"true"}, annotations: map[string]string{"org.systemd.property.NoSuchThing": "1"}}, errdefs.IsInvalidArgument},
		"value":    {container{args: []string{"true"}, annotations: map[string]string{"org.systemd.property.CPUWeight": "uint64 x"}}, errdefs.IsInvalidArgument},
		"limit":    {container{args: []string{"true"}, resources: `{"cpu":{"quota":1}}`}, errdefs.IsInvalidArgument},
	} {
		c.runtime, c.path = mini, "minitest-a.slice:mini:bad"
		if _, err := h.try(c.container); !c.is(err) {
			t.Errorf("%s: %v", what, err)
		}
		h.gone("mini-bad.scope", fmt.Sprintf(nobody, "bad"))
	}

	c := h.start(container{runtime: mini, path: "minitest-a.slice:mini:oom", resources: `{"memory":{"limit":8388608}}`, args: []string{"tail", "/dev/zero"}})
	if code := c.wait(); code != 137 {
		t.Errorf("out of memory: exit code %d", code)
	}
	h.gone("mini-oom.scope", fmt.Sprintf(nobody, "oom"))

	c = h.start(container{runtime: mini, path: "minitest-a.slice:mini:orphan", args: []string{"sleep", "1000"}})
	h.must(syscall.Kill(c.shim(), syscall.SIGKILL))
	<-c.exit
	h.gone("mini-orphan.scope", fmt.Sprintf(nobody, "orphan"))
}

// TestSlowBus: while the bus does not answer, what needs no systemd works, and an
// end waits for a while only.
func TestSlowBus(t *testing.T) {
	h := newHost(t)
	c := h.start(container{runtime: mini, path: "minitest-a.slice:mini:slow", args: []string{"sleep", "1000"}})
	bus, err := strconv.Atoi(h.systemctl("show", "-p", "MainPID", "--value", "dbus.service"))
	h.must(err)
	h.must(syscall.Kill(bus, syscall.SIGSTOP))
	defer func() { h.must(syscall.Kill(bus, syscall.SIGCONT)) }()
	ended := make(chan uint32, 1)
	go func() { ended <- c.end() }()
	<-time.After(time.Second)
	status, err := c.Status(h.ctx)
	if err != nil || status.Status != client.Stopped {
		t.Errorf("state while Delete waits for systemd: %v, %v", status.Status, err)
	}
	select {
	case code := <-ended:
		if code != 137 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(testenv.Patience(7 * time.Second)):
		t.Error("the end waits for systemd")
	}
	h.gone("mini-slow.scope", fmt.Sprintf(nobody, "slow")) // systemd has seen it itself
}
