// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
)

// volatile are properties of units that differ from one to the next.
var volatile = regexp.MustCompile(`^(Id|Names|Description|InvocationID|ControlGroup(Id)?|DropInPaths|FragmentPath|Transient|NeedDaemonReload|` +
	`.*Timestamp(Monotonic)?|.*(Current|Peak|Available|NSec|Bytes|Operations)|Effective.*|Result)=`)

// properties are those of the unit that are its own choice.
func (h *host) properties(unit string) map[string]string {
	h.Helper()
	all := map[string]string{}
	for line := range strings.Lines(h.systemctl("show", unit)) {
		if line = strings.TrimSpace(line); !volatile.MatchString(line) {
			name, value, _ := strings.Cut(line, "=")
			all[name] += value + ";" // some have a line for each of several values
		}
	}
	return all
}

// decided are the differences from what runc tells systemd, by property.
var decided = map[string]string{
	"DevicePolicy": "mini has a filter of its own, which no reload takes away and which an update replaces in one step",
	"DeviceAllow":  "likewise",
	"CollectMode":  "a scope that failed is forgotten by itself, whatever becomes of the shim",
	"OOMPolicy":    "runc asks for the version, 253, and misses those who have it in 252: a reload then undoes memory.oom.group",
}

// TestPropertiesAreRuncs: for the same specification the scope has what runc's has.
func TestPropertiesAreRuncs(t *testing.T) {
	h := newHost(t)
	for name, c := range map[string]container{
		"plain":  {},
		"limits": {resources: limits},
		"more":   {resources: `{"memory":{"limit":67108864,"swap":-1,"reservation":1048576},"cpu":{"shares":2,"quota":33333,"cpus":"0-1","mems":"0"},"pids":{"limit":0}}`},
		"none":   {resources: `{"memory":{"limit":-1,"swap":-1},"cpu":{"quota":-1},"pids":{"limit":-1}}`},
		"idle":   {resources: `{"cpu":{"idle":1,"burst":1000,"quota":20000}}`},
		"unified": {resources: `{"unified":{"memory.high":"50003968","memory.low":"2002944","memory.min":"1003520","memory.max":"60002304","memory.swap.max":"0",` +
			`"cpu.weight":"77","cpu.max":"25000 50000","pids.max":"55","cpuset.cpus":"0","cpuset.mems":"0","memory.oom.group":"1"}}`},
		"annotations": {annotations: map[string]string{
			"org.systemd.property.TimeoutStopSec":      "@u 7",
			"org.systemd.property.RuntimeMaxUSec":      "uint64 123000000",
			"org.systemd.property.Documentation":       "['man:x(1)']",
			"org.systemd.property.SendSIGHUP":          "true",
			"org.systemd.property.MemoryHigh":          "uint64 99999744",
			"org.systemd.property.CollectMode":         "'inactive'",
			"org.systemd.property.IOWeight":            "@t 200",
			"org.systemd.property.DefaultDependencies": "true",
		}},
	} {
		if name != "unified" && name != "annotations" && !testenv.Full() {
			continue
		}
		var shown []map[string]string
		var held []map[string]string
		for _, c.runtime = range []string{mini, runc} {
			c.path, c.args = "minitest-a.slice:mini:show", []string{"sleep", "1000"}
			task := h.start(c)
			shown = append(shown, h.properties("mini-show.scope"))
			held = append(held, h.files("/minitest.slice/minitest-a.slice/mini-show.scope"))
			if c.runtime == mini { // runc's loses memory.oom.group on systemd 252
				h.systemctl("daemon-reload")
				d := difference(h.properties("mini-show.scope"), shown[0], nil) + difference(h.files("/minitest.slice/minitest-a.slice/mini-show.scope"), held[0], nil)
				if d != "" {
					t.Errorf("%s: after daemon-reload, and before:%s", name, d)
				}
			}
			task.end()
			h.gone("mini-show.scope", "/minitest.slice/minitest-a.slice/mini-show.scope")
		}
		if d := difference(shown[0], shown[1], decided); d != "" {
			t.Errorf("%s: properties, mini's and runc's:%s", name, d)
		}
		if d := difference(held[0], held[1], nil); d != "" {
			t.Errorf("%s: cgroup files, mini's and runc's:%s", name, d)
		}
	}
}

// difference lists the keys with different values.
func difference(a, b, ignored map[string]string) string {
	var text strings.Builder
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if _, ok := ignored[k]; !ok && a[k] != b[k] {
			text.WriteString("\n" + k + ": " + a[k] + " and " + b[k])
		}
	}
	return text.String()
}
