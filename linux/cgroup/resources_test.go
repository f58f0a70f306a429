// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files")

var everything = Controllers{"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"}

func resources(t testing.TB, text string) *specs.LinuxResources {
	t.Helper()
	var r specs.LinuxResources
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &r
}

// Each *.json in testdata/resources has a *.txt beside it: the writes that it
// becomes, in their order.
func TestResourcesBecomeWrites(t *testing.T) {
	files, err := filepath.Glob("testdata/resources/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, err := compile(resources(t, string(data)))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		golden(t, strings.TrimSuffix(file, ".json")+".txt", text(list))
	}
}

// text writes settings as a list.
func text(list []setting) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%s: %s = %q", s.field, s.file, s.value)
		if s.orFile != "" {
			fmt.Fprintf(&b, " or %s = %q", s.orFile, s.orValue)
		}
		for _, f := range []struct {
			set  bool
			name string
		}{
			{s.plain, "default"},
			{s.absentOK, "absent is fine"},
			{s.soft, "may fail"},
			{s.keepFirst, "after the first word"},
			{s.lines, "by line"},
		} {
			if f.set {
				fmt.Fprintf(&b, " (%s)", f.name)
			}
		}
		fmt.Fprintf(&b, " [%s]\n", s.controller)
	}
	return b.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", file, got, want)
	}
}

func TestCheckRefusesByFieldName(t *testing.T) {
	for _, c := range []struct {
		resources, field string
		err              error
	}{
		{`{"cpu":{"realtimeRuntime":1000}}`, "cpu.realtimeRuntime", errdefs.ErrNotImplemented},
		{`{"cpu":{"realtimePeriod":500}}`, "cpu.realtimePeriod", errdefs.ErrNotImplemented},
		{`{"cpu":{"idle":2}}`, "cpu.idle", errdefs.ErrInvalidArgument},
		{`{"memory":{"kernel":4096}}`, "memory.kernel", errdefs.ErrNotImplemented},
		{`{"memory":{"kernelTCP":4096}}`, "memory.kernelTCP", errdefs.ErrNotImplemented},
		{`{"memory":{"swappiness":0}}`, "memory.swappiness", errdefs.ErrNotImplemented},
		{`{"memory":{"disableOOMKiller":true}}`, "memory.disableOOMKiller", errdefs.ErrNotImplemented},
		{`{"memory":{"useHierarchy":false}}`, "memory.useHierarchy", errdefs.ErrNotImplemented},
		{`{"memory":{"limit":-2}}`, "memory.limit", errdefs.ErrInvalidArgument},
		{`{"memory":{"swap":-2}}`, "memory.swap", errdefs.ErrInvalidArgument},
		{`{"memory":{"swap":4096}}`, "memory.swap", errdefs.ErrInvalidArgument},
		{`{"memory":{"limit":8192,"swap":4096}}`, "memory.swap", errdefs.ErrInvalidArgument},
		{`{"blockIO":{"leafWeight":10}}`, "blockIO.leafWeight", errdefs.ErrNotImplemented},
		{`{"blockIO":{"weight":5}}`, "blockIO.weight", errdefs.ErrInvalidArgument},
		{`{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":10}]}}`, "blockIO.weightDevice[0].leafWeight", errdefs.ErrNotImplemented},
		{`{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":2000}]}}`, "blockIO.weightDevice[0]", errdefs.ErrInvalidArgument},
		{`{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":0},{"major":8,"minor":0}]}}`, "blockIO.weightDevice[1]", errdefs.ErrInvalidArgument},
		{`{"cpu":{"quota":1000,"burst":1001}}`, "cpu.burst", errdefs.ErrInvalidArgument},
		{`{"hugepageLimits":[{"pageSize":"2MB/../../x","limit":0}]}`, "hugepageLimits[0]", errdefs.ErrInvalidArgument},
		{`{"hugepageLimits":[{"pageSize":"","limit":0}]}`, "hugepageLimits[0]", errdefs.ErrInvalidArgument},
		{`{"rdma":{"mlx5_0":{}}}`, `rdma["mlx5_0"]`, errdefs.ErrInvalidArgument},
		{`{"network":{"classID":1}}`, "network.classID", errdefs.ErrNotImplemented},
		{`{"network":{"priorities":[{"name":"eth0","priority":1}]}}`, "network.priorities", errdefs.ErrNotImplemented},
		{`{"unified":{"../x":"1"}}`, `unified["../x"]`, errdefs.ErrInvalidArgument},
		{`{"unified":{"memory":"1"}}`, `unified["memory"]`, errdefs.ErrInvalidArgument},
		{`{"unified":{"nothing.here":"1"}}`, `unified["nothing.here"]`, errdefs.ErrNotImplemented},
		{`{"unified":{"cgroup.procs":"0"}}`, `unified["cgroup.procs"]`, errdefs.ErrInvalidArgument},
		{`{"unified":{"cgroup.threads":"0"}}`, `unified["cgroup.threads"]`, errdefs.ErrInvalidArgument},
		{`{"unified":{"cgroup.kill":"1"}}`, `unified["cgroup.kill"]`, errdefs.ErrInvalidArgument},
		{`{"unified":{"cgroup.freeze":"1"}}`, `unified["cgroup.freeze"]`, errdefs.ErrInvalidArgument},
		{`{"unified":{"cgroup.type":"threaded"}}`, `unified["cgroup.type"]`, errdefs.ErrInvalidArgument},
		{`{"devices":[{"allow":true,"type":"x","access":"r"}]}`, "devices[0]", errdefs.ErrInvalidArgument},
		{`{"devices":[{"allow":true,"access":""}]}`, "devices[0]", errdefs.ErrInvalidArgument},
		{`{"devices":[{"allow":true,"access":"rx"}]}`, "devices[0]", errdefs.ErrInvalidArgument},
		{`{"devices":[{"allow":true,"major":4294967296,"access":"r"}]}`, "devices[0]", errdefs.ErrInvalidArgument},
	} {
		err := Check(resources(t, c.resources), everything)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), "linux.resources."+c.field+":") {
			t.Errorf("%s: %v; want %v of %s", c.resources, err, c.err, c.field)
		}
	}
}

func TestCheckWithoutControllers(t *testing.T) {
	for _, c := range []struct{ resources, refused string }{
		{`{}`, ""},
		{`{"cpu":{"shares":1024}}`, ""}, // every ctr run
		{`{"cpu":{"shares":0,"quota":-1,"period":100000,"burst":0,"idle":0}}`, ""},
		{`{"cpu":{"quota":-1,"burst":0}}`, ""},
		{`{"cpu":{"realtimeRuntime":0,"realtimePeriod":1000000}}`, ""},
		{`{"memory":{"limit":-1,"swap":-1,"reservation":-1,"kernel":-1,"swappiness":60,"useHierarchy":true,"disableOOMKiller":false}}`, ""},
		{`{"pids":{"limit":-1}}`, ""},
		{`{"pids":{}}`, ""},
		{`{"blockIO":{"weight":0}}`, ""},
		{`{"network":{"classID":0}}`, ""},
		{`{"unified":{"cgroup.max.descendants":"5"}}`, ""},
		{`{"devices":[{"allow":false,"access":"rwm"}]}`, ""},
		{`{"cpu":{"shares":512}}`, "cpu.shares"},
		{`{"cpu":{"quota":1000}}`, "cpu.quota"},
		{`{"cpu":{"period":1000}}`, "cpu.period"},
		{`{"cpu":{"idle":1}}`, "cpu.idle"},
		{`{"cpu":{"burst":1}}`, "cpu.burst"},
		{`{"cpu":{"cpus":"0"}}`, "cpu.cpus"},
		{`{"cpu":{"mems":"0"}}`, "cpu.mems"},
		{`{"memory":{"limit":4096}}`, "memory.limit"},
		{`{"memory":{"reservation":4096}}`, "memory.reservation"},
		{`{"memory":{"limit":-1,"swap":4096}}`, "memory.swap"},
		{`{"pids":{"limit":0}}`, "pids.limit"},
		{`{"pids":{"limit":10}}`, "pids.limit"},
		{`{"blockIO":{"weight":500}}`, "blockIO.weight"},
		{`{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}]}}`, "blockIO.throttleReadBpsDevice[0]"},
		{`{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}`, "hugepageLimits[0]"},
		{`{"rdma":{"mlx5_0":{"hcaHandles":1}}}`, `rdma["mlx5_0"]`},
		{`{"unified":{"memory.high":"max"}}`, `unified["memory.high"]`},
	} {
		err := Check(resources(t, c.resources), nil)
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s: %v", c.resources, err)
		case c.refused != "" && (!errors.Is(err, errdefs.ErrNotImplemented) ||
			!strings.Contains(err.Error(), "linux.resources."+c.refused+": the cgroup controller")):
			t.Errorf("%s: %v; want %s refused", c.resources, err, c.refused)
		}
		if err := Check(resources(t, c.resources), everything); err != nil {
			t.Errorf("%s with every controller: %v", c.resources, err)
		}
	}
}

// The three points that the curve goes through, and others that were computed
// from its formula apart from this code.
func TestWeightOfShares(t *testing.T) {
	for shares, want := range map[uint64]uint64{
		0: 0, 1: 1, 2: 1, 1024: 100, 262144: 10000, 262145: 10000,
		10: 4, 100: 17, 512: 59, 2048: 174, 10240: 639, 100000: 4340,
	} {
		if got := weight(shares); got != want {
			t.Errorf("weight(%d) = %d, want %d", shares, got, want)
		}
	}
	for s := uint64(2); s < 262144; s += 7 {
		if weight(s) > weight(s+7) {
			t.Fatalf("Weight falls after %d", s)
		}
	}
}

func TestSettingErrorTellsWhoIsToBlame(t *testing.T) {
	for errno, want := range map[error]error{
		unix.EINVAL: errdefs.ErrInvalidArgument,
		unix.ERANGE: errdefs.ErrInvalidArgument,
		unix.ENOENT: errdefs.ErrNotImplemented,
		unix.EBUSY:  unix.EBUSY,
	} {
		err := error(&settingError{
			field: "pids.limit",
			value: "7",
			err:   &os.PathError{Op: "write", Path: "/x/pids.max", Err: errno},
		})
		if !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Errorf("%v is not %v", err, want)
		}
	}
	err := &settingError{
		field: "pids.limit",
		value: "7",
		err:   &os.PathError{Op: "write", Path: "/x/pids.max", Err: unix.EINVAL},
	}
	if got, want := err.Error(), `set linux.resources.pids.limit to "7": write /x/pids.max: invalid argument`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func FuzzResources(f *testing.F) {
	f.Add([]byte(`{"cpu":{"shares":2},"unified":{"memory.high":"1\n2"}}`))
	f.Add([]byte(`{"hugepageLimits":[{"pageSize":"2MB","limit":1}],"rdma":{"a b":{"hcaHandles":1}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r specs.LinuxResources
		if json.Unmarshal(data, &r) != nil {
			return
		}
		list, err := compile(&r)
		if err != nil {
			return
		}
		for _, s := range list {
			if strings.ContainsAny(s.file, "/\x00") || s.file == "" || s.field == "" || s.controller == "" {
				t.Errorf("%+v", s)
			}
		}
	})
}
