// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/testenv"
)

// Who refuses something.
const (
	byBoth = "both"
	byMini = "mini"
	byRunc = "runc"
)

// refusals are resources that mini or runc does not take, with the name that mini
// has for them.
var refusals = []struct {
	res, field string
	is         func(error) bool
	who        string
}{
	{`{"memory":{"swap":67108864}}`, "memory.swap", errdefs.IsInvalidArgument, byBoth},
	{`{"memory":{"limit":67108864,"swap":33554432}}`, "memory.swap", errdefs.IsInvalidArgument, byBoth},
	{`{"cpu":{"cpus":"99"}}`, "cpu.cpus", errdefs.IsInvalidArgument, byBoth},
	{`{"cpu":{"mems":"9"}}`, "cpu.mems", errdefs.IsInvalidArgument, byBoth},
	{`{"cpu":{"quota":1}}`, "cpu.quota", errdefs.IsInvalidArgument, byBoth},
	{`{"cpu":{"quota":50000,"burst":60000}}`, "cpu.burst", errdefs.IsInvalidArgument, byBoth},
	{`{"cpu":{"idle":2}}`, "cpu.idle", errdefs.IsInvalidArgument, byBoth},
	{`{"blockIO":{"weight":5}}`, "blockIO.weight", errdefs.IsInvalidArgument, byBoth},
	{`{"blockIO":{"throttleReadBpsDevice":[{"major":99,"minor":9,"rate":1}]}}`, "blockIO.throttleReadBpsDevice[0]", errdefs.IsInvalidArgument, byBoth},
	{`{"hugepageLimits":[{"pageSize":"3MB","limit":0}]}`, "hugepageLimits[0]", errdefs.IsNotImplemented, byBoth},
	{`{"rdma":{"none0":{"hcaHandles":1}}}`, `rdma["none0"]`, errdefs.IsInvalidArgument, byBoth},
	{`{"unified":{"misc.max":"none 1"}}`, `unified["misc.max"]`, errdefs.IsInvalidArgument, byBoth},
	{`{"unified":{"nothing.max":"1"}}`, `unified["nothing.max"]`, errdefs.IsNotImplemented, byBoth},
	{`{"unified":{"memory.nothing":"1"}}`, `unified["memory.nothing"]`, errdefs.IsNotImplemented, byBoth},
	{`{"unified":{"memory.high":"much"}}`, `unified["memory.high"]`, errdefs.IsInvalidArgument, byBoth},
	{`{"unified":{"../memory.high":"1"}}`, `unified["../memory.high"]`, errdefs.IsInvalidArgument, byBoth},
	{`{"blockIO":{"weightDevice":[{"major":7,"minor":0,"weight":300}]}}`, "blockIO.weightDevice[0]", errdefs.IsNotImplemented, byMini},
	{`{"cpu":{"realtimeRuntime":1000}}`, "cpu.realtimeRuntime", errdefs.IsNotImplemented, byMini},
	{`{"memory":{"kernelTCP":67108864}}`, "memory.kernelTCP", errdefs.IsNotImplemented, byMini},
	{`{"memory":{"swappiness":10}}`, "memory.swappiness", errdefs.IsNotImplemented, byMini},
	{`{"memory":{"disableOOMKiller":true}}`, "memory.disableOOMKiller", errdefs.IsNotImplemented, byMini},
	{`{"blockIO":{"leafWeight":10}}`, "blockIO.leafWeight", errdefs.IsNotImplemented, byMini},
	{`{"network":{"classID":1}}`, "network.classID", errdefs.IsNotImplemented, byMini},
	{`{"cpu":{"idle":1,"shares":512}}`, "", nil, byRunc},
	{`{"blockIO":{"throttleReadBpsDevice":[{"major":254,"minor":0,"rate":0}]}}`, "", nil, byRunc}, // the machine's disk
}

// TestVMRefusedResources: what mini refuses, by which name, and whether runc does.
// CONFORMANCE.md has the reasons for the differences.
func TestVMRefusedResources(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu", "cpuset", "io", "hugetlb", "rdma", "misc"))
	miniOnly(t, func(t *testing.T, h *harness) {
		c := h.start(oci.WithProcessArgs("sleep", "1000"))
		group := h.cgroupOf(c.Pid())
		before := h.settingsOf(group)
		for _, r := range refusals {
			if r.who == byRunc {
				continue
			}
			if err := c.update(r.res); err == nil || !r.is(err) || !strings.Contains(err.Error(), "linux.resources."+r.field) {
				t.Errorf("update to %s: %v; want the name %s", r.res, err, r.field)
			}
			h.differ("after the refusal of "+r.res, h.settingsOf(group), before)
		}
		c.kill()
	})
	if !testenv.Full() && os.Getenv("RUNTIMES") == "" {
		return
	}
	each(t, func(t *testing.T, h *harness) {
		for _, r := range refusals {
			task, err := h.container(sh("echo"), resources(r.res)).NewTask(h.ctx, cio.NullIO)
			if err == nil {
				_, err := task.Delete(h.ctx, client.WithProcessKill)
				h.must(err)
			}
			refused := r.who == byBoth || h.mini() == (r.who == byMini)
			switch {
			case refused != (err != nil):
				t.Errorf("%s: %v; refused by %s", r.res, err, r.who)
			case refused && h.mini() && (!r.is(err) || !strings.Contains(err.Error(), "linux.resources."+r.field)):
				t.Errorf("%s: %v; want the name %s", r.res, err, r.field)
			}
			h.renew()
		}
	})
}
