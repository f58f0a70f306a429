// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// files are the limits in a cgroup.
func (h *host) files(cgroup string) map[string]string {
	h.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"memory.*max", "memory.low", "memory.min", "memory.high", "memory.oom.group", "memory.zswap.*", "cpu.max*", "cpu.weight", "cpu.idle", "cpuset.cpus", "cpuset.mems", "pids.max", "io.weight", "io.bfq.weight", "io.max", "hugetlb.*.max"} {
		names, err := filepath.Glob("/sys/fs/cgroup" + cgroup + "/" + pattern)
		h.must(err)
		for _, name := range names {
			data, err := os.ReadFile(name)
			h.must(err)
			all[filepath.Base(name)] = strings.TrimSpace(string(data))
		}
	}
	return all
}

// update updates the task with resources in JSON.
func (t *task) update(resources string) {
	t.h.Helper()
	var res specs.LinuxResources
	t.h.must(json.Unmarshal([]byte(resources), &res))
	t.h.must(t.Update(t.h.ctx, client.WithResources(&res)))
}

// TestWhatSystemdDoesNotKnow: limits that it has no property for hold as well, and
// for good. systemd 252 writes memory.oom.group when it writes any limit of the
// memory.
func TestWhatSystemdDoesNotKnow(t *testing.T) {
	h := newHost(t)
	c := h.start(container{
		runtime: mini, path: "minitest-a.slice:mini:own", args: []string{"sleep", "1000"},
		resources: `{"memory":{"limit":67108864},"cpu":{"quota":20000,"burst":3000},"unified":{"memory.oom.group":"1","memory.high":"60000000"},"hugepageLimits":[{"pageSize":"2MB","limit":2097152}]}`,
	})
	const scope = "/minitest.slice/minitest-a.slice/mini-own.scope"
	const own = "memory.oom.group 1, memory.high 59998208, cpu.max.burst 3000, hugetlb.2MB.max 2097152"
	c.holds("started", scope, own+", memory.max 67108864, cpu.max 20000 100000")
	h.systemctl("daemon-reload")
	c.holds("after daemon-reload", scope, own+", memory.max 67108864, cpu.max 20000 100000")
	c.update(`{"memory":{"limit":134217728},"cpu":{"quota":33333}}`)
	c.holds("updated", scope, own+", memory.max 134217728, cpu.max 34000 100000")
	c.update(`{"unified":{"memory.oom.group":"0"},"pids":{"limit":9}}`)
	c.holds("updated again", scope, "memory.oom.group 0, memory.max 134217728, pids.max 9")
	// systemd has it as it was at the start, and writes that again and again.
	for _, write := range [][]string{{"set-property", "--runtime", "mini-own.scope", "MemoryLow=1M"}, {"daemon-reload"}, {"set-property", "--runtime", "mini-own.scope", "MemoryLow=2M"}} {
		h.systemctl(write...)
		h.eventually(func() error {
			data, err := os.ReadFile("/sys/fs/cgroup" + scope + "/memory.oom.group")
			if err == nil && string(data) != "0\n" {
				err = fmt.Errorf("after %s: memory.oom.group %s", write, data)
			}
			return err
		})
	}
	c.update(`{"unified":{"memory.oom.group":"1"},"memory":{"limit":67108864}}`)
	c.holds("updated once more", scope, own+", memory.max 67108864")
	h.systemctl("daemon-reexec")
	c.holds("after daemon-reexec", scope, own+", memory.max 67108864, cpu.max 34000 100000, pids.max 9")
	c.end()
	h.gone("mini-own.scope", scope)
}

// TestReloadWhileMade: systemd reloads, and writes what it knows, before the container
// is there.
func TestReloadWhileMade(t *testing.T) {
	h := newHost(t)
	c := h.start(container{
		runtime: mini, path: "minitest-a.slice:mini:reload", args: []string{"sleep", "1000"}, resources: limits,
		hooks: &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/usr/bin/systemctl", Args: []string{"systemctl", "daemon-reload"}}}},
	})
	c.holds("after the hook", fmt.Sprintf(nobody, "reload"), files)
	h.shows("after the hook", "mini-reload.scope", shown)
	c.end()
}

// TestOneProcess: the placeholder that every scope begins with does not take the
// place of the only process that a container may have.
func TestOneProcess(t *testing.T) {
	h := newHost(t)
	for _, resources := range []string{`{"pids":{"limit":1}}`, `{"pids":{"limit":0}}`, `{"pids":{"limit":2}}`} {
		if resources != `{"pids":{"limit":1}}` && !testenv.Full() {
			continue
		}
		c := h.start(container{runtime: mini, path: "minitest-a.slice:mini:one", args: []string{"sleep", "1000"}, resources: resources})
		var res specs.LinuxResources
		h.must(json.Unmarshal([]byte(resources), &res))
		want := "1"
		if *res.Pids.Limit == 2 {
			want = "2"
		}
		c.holds(resources, "/minitest.slice/minitest-a.slice/mini-one.scope", "pids.max "+want+", pids.current 1")
		h.shows(resources, "mini-one.scope", "TasksMax="+want)
		c.end()
	}
}

// TestTheSameNameAgain: a scope can be made as soon as the last one of its name was
// deleted.
func TestTheSameNameAgain(t *testing.T) {
	h := newHost(t)
	for range 4 {
		h.start(container{runtime: mini, path: "minitest-a.slice:mini:again", args: []string{"sleep", "1000"}}).end()
	}
	h.gone("mini-again.scope", "/minitest.slice/minitest-a.slice/mini-again.scope")
}

// TestSlices: where a scope is, by the forms that its slice has.
func TestSlices(t *testing.T) {
	h := newHost(t)
	for path, want := range map[string]string{
		":mini:slice":                      "/system.slice/mini-slice.scope",
		"-.slice:mini:slice":               "/mini-slice.scope",
		"minitest-a-b_c.slice:mini:slice":  "/minitest.slice/minitest-a.slice/minitest-a-b_c.slice/mini-slice.scope",
		`minitest-x\x2dy.slice:mini:slice`: `/minitest.slice/minitest-x\x2dy.slice/mini-slice.scope`,
	} {
		c := h.start(container{runtime: mini, path: path, args: []string{"sleep", "1000"}})
		h.shows(path, "mini-slice.scope", "ControlGroup="+want)
		c.end()
		h.gone("mini-slice.scope", want)
		if !testenv.Full() {
			break
		}
	}
}
