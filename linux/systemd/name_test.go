// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestNewScope(t *testing.T) {
	long := strings.Repeat("x", 240)
	for _, c := range []struct {
		cgroupsPath, unit, path string
		err                     string // a part of it
	}{
		{"system.slice:mini:test1", "mini-test1.scope", "/system.slice/mini-test1.scope", ""},
		{":cri:abc", "cri-abc.scope", "/system.slice/cri-abc.scope", ""},
		{
			"kubepods-burstable-pod12_3.slice:cri-containerd:abc", "cri-containerd-abc.scope",
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_3.slice/cri-containerd-abc.scope", "",
		},
		{"-.slice:a:b", "a-b.scope", "/a-b.scope", ""},
		{"", "mini-c1.scope", "/system.slice/mini-c1.scope", ""},
		{"a.slice:_b:c", "_b-c.scope", "/a.slice/__b-c.scope", ""},
		{"a.slice:io.pods:c", "io.pods-c.scope", "/a.slice/_io.pods-c.scope", ""},
		{"a.slice:iops:c", "iops-c.scope", "/a.slice/iops-c.scope", ""},
		{"_a-b.slice:cgroup.b:c", "cgroup.b-c.scope", "/__a.slice/__a-b.slice/_cgroup.b-c.scope", ""},
		{"memory.slice:.b:c", ".b-c.scope", "/_memory.slice/_.b-c.scope", ""},
		{"memory-a.slice:b@c:d", "", "", "not a unit's name"},
		{":" + long + ":123456", long + "-123456.scope", "/system.slice/" + long + "-123456.scope", ""},
		{":" + strings.Repeat("x", 240) + ":1234567", "", "", "not a unit's name"},
		{"a@b.slice:b:c", "", "", "not a slice's name"},
		{"/a/b", "", "", "not of the form"},
		{"a:b", "", "", "not of the form"},
		{"a:b:c:d", "", "", "not of the form"},
		{"system.slice:a:", "", "", "no name"},
		{"system.slice:a:b.slice", "", "", "holds no processes"},
		{"system.slice:a:b c", "", "", "not a unit's name"},
		{"system:a:b", "", "", "not a slice's name"},
		{"a--b.slice:a:b", "", "", "not a slice's name"},
		{"-a.slice:a:b", "", "", "not a slice's name"},
		{".slice:a:b", "", "", "not a slice's name"},
		{"system.slice:a:" + strings.Repeat("x", 256), "", "", "not a unit's name"},
	} {
		s, err := NewScope(c.cgroupsPath, "c1", nil)
		switch {
		case c.err != "":
			if !errors.Is(err, errdefs.ErrInvalidArgument) ||
				!strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "linux.cgroupsPath") {
				t.Errorf("%q: %v, want %s", c.cgroupsPath, err, c.err)
			}
		case err != nil || s.Unit != c.unit || s.Path() != c.path:
			t.Errorf("%q: %+v, %v", c.cgroupsPath, s, err)
		}
	}
}

func TestIsName(t *testing.T) {
	for path, want := range map[string]bool{
		"a.slice:b:c": true, ":b:c": true, "/a:b:c": false, "a:b": false, "": false, "a/b:c:d": false,
	} {
		if IsName(path) != want {
			t.Errorf("%q: %v", path, !want)
		}
	}
}

func TestAnnotations(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"TimeoutStopSec", "uint64 5", "TimeoutStopUSec @t 5000000"},
		{"TimeoutStopSec", "1.5", "TimeoutStopUSec @t 1500000"},
		{"TimeoutStopUSec", "uint64 5", "TimeoutStopUSec @t 5"},
		{"CollectMode", "'inactive'", `CollectMode "inactive"`},
		{"MemoryMax", "uint64 1234567890", "MemoryMax @t 1234567890"},
		{"RuntimeMaxSec", "byte 2", "RuntimeMaxUSec @t 2000000"},
		{"RuntimeMaxSec", "@u 3", "RuntimeMaxUSec @t 3000000"},
		{"RuntimeMaxSec", "int64 18000000000000", "RuntimeMaxUSec @t 18000000000000000000"},
		{"RuntimeMaxSec", "int64 19000000000000", ""},
		{"PIDs", "[@u 1]", ""},
		{"Slice", "'init.scope'", ""},
		{"Delegate", "false", ""},
		{"Sec", "1", "Sec 1"},
		{"AllowSec", "true", ""},
		{"Environment", "['A=b', 'c']", `Environment ["A=b", "c"]`},
		{"DeviceAllow", "[('/dev/null', 'rwm')]", ""},
		{"IOWeight", "@t 200", "IOWeight @t 200"},
		{"SendSIGHUP", "true", "SendSIGHUP true"},
		{"CPUQuotaPerSecUSec", "uint64 5", "CPUQuotaPerSecUSec @t 5"},
		{"TimeoutStopSec", "1e300", ""},
		{"A", "1", ""},
		{"Two Words", "1", ""},
		{"TimeoutStopSec", "'soon'", ""},
		{"TimeoutStopSec", "'5'", ""},
		{"TimeoutStopSec", "<uint64 5>", ""},
		{"DelegateSubgroup", "'x'", ""},
		{"TimeoutStopSec", "-1", ""},
		{"MemoryMax", "uint64", ""},
		{"Description", `"\"\u0661 ١"`, `Description "\"١ ١"`},
		{"Description", `'\'' ١`, ""},
		{"MemoryMax", "١", ""}, // and the library would not come back
		{"MemoryMax", "[1, ²]", ""},
	} {
		s, err := NewScope("", "c1", map[string]string{"org.systemd.property." + c.name: c.text, "other": "x"})
		switch {
		case c.want == "":
			if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("%s %s: %v", c.name, c.text, err)
			}
		case err != nil || len(s.properties) != 1:
			t.Errorf("%s %s: %+v, %v", c.name, c.text, s, err)
		default:
			if got := fmt.Sprint(s.properties[0].Name, " ", s.properties[0].Value); got != c.want {
				t.Errorf("%s %s: got %s, want %s", c.name, c.text, got, c.want)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"memory.max", "67108864\n", "MemoryMax 67108864"},
		{"memory.max", "max\n", "MemoryMax 18446744073709551615"},
		{"pids.max", "42\n", "TasksMax 42"},
		{"cpu.weight", "59\n", "CPUWeight 59"},
		{"cpu.max", "50000 200000\n", "CPUQuotaPerSecUSec 250000 CPUQuotaPeriodUSec 200000"},
		{"cpu.max", "33333 100000\n", "CPUQuotaPerSecUSec 340000 CPUQuotaPeriodUSec 100000"},
		{"cpu.max", "max 100000\n", "CPUQuotaPerSecUSec 18446744073709551615 CPUQuotaPeriodUSec 100000"},
		{"cpu.idle", "0\n", ""},
		{"cpu.idle", "1\n", "CPUWeight 0"},
		{"cpuset.cpus", "0-2,9\n", "AllowedCPUs [7 2]"},
		{"cpuset.mems", "\n", "AllowedMemoryNodes []"},
		{"pids.max", "0\n", "TasksMax 1"},
		{"memory.zswap.max", "4096\n", "MemoryZSwapMax 4096"},
		{"memory.zswap.writeback", "0\n", "MemoryZSwapWriteback false"},
		{"io.weight", "default 100\n8:0 50\n", "IOWeight 100"},
		{"io.bfq.weight", "default 50\n", "IOWeight 50"},
		{"io.bfq.weight", "default 1000\n8:0 5\n", "IOWeight 10000"},
		{"io.bfq.weight", "x\n", "error"},
		{"pids.max", "many\n", "error"},
		{"cpu.max", "1\n", "error"},
		{"cpuset.cpus", "0-x\n", "error"},
		{"cpuset.cpus", "5-2\n", "error"},
		{"cpuset.cpus", "0,5-4\n", "error"},
	} {
		var l Limits
		err := l.Add(c.file, c.text)
		var got []string
		for _, p := range l {
			got = append(got, fmt.Sprint(p.Name, " ", p.Value.Value()))
		}
		if (err != nil) != (c.want == "error") || err == nil && strings.Join(got, " ") != c.want {
			t.Errorf("%s %q: %v, %v; want %s", c.file, c.text, got, err, c.want)
		}
	}
	var l Limits
	if err := errors.Join(l.Add("cpu.weight", "100"), l.Add("cpu.idle", "1")); err != nil || len(l) != 1 {
		t.Errorf("an idle group: %v, %v", l, err)
	}
	told := Told{}
	told.Note(l)
	var now Limits
	err := errors.Join(now.Add("cpu.idle", "1"), now.Add("pids.max", "3"))
	if err != nil || fmt.Sprint(told.News(now)) != "[{TasksMax @t 3}]" {
		t.Errorf("news: %v, %v", told.News(now), err)
	}
	l = nil
	err = errors.Join(l.Add("io.weight", "default 100"), l.Add("io.bfq.weight", "default 500"))
	if err != nil || len(l) != 1 || l[0].Value.Value() != uint64(4500) {
		t.Errorf("both weights: %v, %v", l, err)
	}
}
