// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup2/stats"
	"google.golang.org/protobuf/proto"
)

func TestFlatKeyedFiles(t *testing.T) {
	const events = "low 0\nhigh 1\nmax 22\noom 3\noom_kill 4\noom_group_kill 5\n"
	for key, want := range map[string]uint64{
		"low":            0,
		"max":            22,
		"oom":            3,
		"oom_kill":       4,
		"oom_group_kill": 5,
		"kill":           0,
		"":               0,
	} {
		if got := flatKey(events, key); got != want {
			t.Errorf("flatKey %q = %d, want %d", key, got, want)
		}
		if got := parseFlat(events)[key]; got != want {
			t.Errorf("parseFlat %q = %d, want %d", key, got, want)
		}
	}
	for text, want := range map[string]uint64{
		"max":                  math.MaxUint64,
		"0":                    0,
		"18446744073709551615": math.MaxUint64,
		"x":                    0,
		"":                     0,
	} {
		if got := number(text); got != want {
			t.Errorf("number(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestPressureFiles(t *testing.T) {
	got := parsePSI("some avg10=1.50 avg60=0.25 avg300=0.01 total=123456\n" +
		"full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n")
	want := &stats.PSIStats{
		Some: &stats.PSIData{Avg10: 1.5, Avg60: 0.25, Avg300: 0.01, Total: 123456},
		Full: &stats.PSIData{Total: 7},
	}
	if !proto.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := parsePSI("some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n"); got == nil ||
		got.Full != nil { // cpu.pressure before 5.13
		t.Errorf("%v", got)
	}
	if got := parsePSI(""); got != nil {
		t.Errorf("nothing is %v", got)
	}
}

func TestIOFiles(t *testing.T) {
	got := parseIO("8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n253:0 \n8:0 rbytes=90430464\n")
	want := []*stats.IOEntry{
		{Major: 8, Minor: 16, Rbytes: 1459200, Wbytes: 314773504, Rios: 192, Wios: 353},
		{Major: 8, Rbytes: 90430464},
	}
	if !slices.EqualFunc(got, want, func(a, b *stats.IOEntry) bool { return proto.Equal(a, b) }) {
		t.Errorf("%v", got)
	}
}

func TestRdmaFiles(t *testing.T) {
	got := parseRdma("mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=max\n")
	want := []*stats.RdmaEntry{
		{Device: "mlx4_0", HcaHandles: 2, HcaObjects: 2000},
		{Device: "ocrdma1", HcaHandles: 3, HcaObjects: math.MaxUint32},
	}
	if !slices.EqualFunc(got, want, func(a, b *stats.RdmaEntry) bool { return proto.Equal(a, b) }) {
		t.Errorf("%v", got)
	}
}

func TestHugePageNames(t *testing.T) {
	for kb, want := range map[uint64]string{64: "64KB", 2048: "2MB", 32768: "32MB", 1048576: "1GB", 16777216: "16GB"} {
		if got := sizeName(kb); got != want || !isPageSize(got) {
			t.Errorf("%d KiB is %s, want %s", kb, got, want)
		}
	}
	for _, bad := range []string{
		"",
		"B",
		"MB",
		"0MB",
		"02MB",
		"-2MB",
		"+2MB",
		"2mb",
		"2M",
		"2MBB",
		"2TB",
		"2 MB",
		"4294967296MB",
	} {
		if isPageSize(bad) {
			t.Errorf("%q is a page size", bad)
		}
	}
}

func TestProcsFiles(t *testing.T) {
	got, err := parsePids("12\n0\n7\n")
	if err != nil || !reflect.DeepEqual(got, []int{12, 7}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parsePids("12\nx\n"); err == nil {
		t.Error("x is a pid")
	}
}

func FuzzFlatFiles(f *testing.F) {
	f.Add("some avg10=1.50 avg60=NaN avg300=1e999 total=-1\n8:0 rbytes=1\nmlx hca_handle=max\nkey 1\n3\n")
	f.Fuzz(func(t *testing.T, text string) {
		parsePSI(text)
		for _, e := range parseRdma(text) {
			if e.Device == "" {
				t.Error("a device without a name")
			}
		}
		parseIO(text)
		parseFlat(text)
		flatKey(text, "key")
		if pids, err := parsePids(text); err == nil && slices.Min(append(pids, 1)) < 1 {
			t.Errorf("%v", pids)
		}
		isPageSize(text)
	})
}
