// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"math"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2/stats"
)

// firstLine is s up to its first newline.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// parseFlat reads a flat-keyed file: "key number" on each line.
func parseFlat(text string) map[string]uint64 {
	kv := make(map[string]uint64, 64)
	for line := range strings.Lines(text) {
		key, n, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok {
			kv[key] = number(n)
		}
	}
	return kv
}

// parsePSI reads a pressure file (Documentation/accounting/psi.rst); nil when
// it says nothing.
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=0
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=0
func parsePSI(text string) *stats.PSIStats {
	var psi *stats.PSIStats
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || (f[0] != "some" && f[0] != "full") {
			continue
		}
		if psi == nil {
			psi = &stats.PSIStats{}
		}
		data := parsePSILine(f[1:])
		if f[0] == "some" {
			psi.Some = data
		} else {
			psi.Full = data
		}
	}
	return psi
}

func parsePSILine(fields []string) *stats.PSIData {
	d := &stats.PSIData{}
	for _, f := range fields {
		key, v, _ := strings.Cut(f, "=")
		avg, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(avg) || math.IsInf(avg, 0) {
			continue
		}
		switch key {
		case "avg10":
			d.Avg10 = avg
		case "avg60":
			d.Avg60 = avg
		case "avg300":
			d.Avg300 = avg
		case "total":
			d.Total = number(v)
		}
	}
	return d
}

// parseIO reads io.stat: "major:minor key=number ..." on each line. A device
// that did nothing has no keys, and is left out.
func parseIO(text string) []*stats.IOEntry {
	var list []*stats.IOEntry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		major, minor, ok := strings.Cut(f[0], ":")
		if !ok {
			continue
		}
		e := &stats.IOEntry{Major: number(major), Minor: number(minor)}
		for _, kv := range f[1:] {
			key, v, _ := strings.Cut(kv, "=")
			switch key {
			case "rbytes":
				e.Rbytes = number(v)
			case "wbytes":
				e.Wbytes = number(v)
			case "rios":
				e.Rios = number(v)
			case "wios":
				e.Wios = number(v)
			}
		}
		list = append(list, e)
	}
	return list
}

// parseRdma reads rdma.current or rdma.max: "device hca_handle=N hca_object=N"
// on each line, where N may be max.
func parseRdma(text string) []*stats.RdmaEntry {
	var list []*stats.RdmaEntry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		e := &stats.RdmaEntry{Device: f[0]}
		for _, kv := range f[1:] {
			key, v, _ := strings.Cut(kv, "=")
			n := uint32(min(number(v), math.MaxUint32))
			switch key {
			case "hca_handle":
				e.HcaHandles = n
			case "hca_object":
				e.HcaObjects = n
			}
		}
		list = append(list, e)
	}
	return list
}
