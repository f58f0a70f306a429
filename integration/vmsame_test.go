// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// figures are the files of a cgroup that tell what happens in it; all others hold
// settings.
var figures = regexp.MustCompile(`\.(current|peak|stat|local|events|numa_stat|pressure)$|^cgroup\.(procs|threads)$`)

// settingsOf are the files of a cgroup by name, with owner, mode, and what those hold
// that are no figures.
func (h *harness) settingsOf(group string) map[string]string {
	h.Helper()
	dir := filepath.Join("/sys/fs/cgroup", group)
	files, err := os.ReadDir(dir)
	h.must(err)
	all := map[string]string{}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		var st unix.Stat_t
		h.must(unix.Stat(filepath.Join(dir, f.Name()), &st))
		text := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
		if !figures.MatchString(f.Name()) && st.Mode&0o444 != 0 {
			data, err := os.ReadFile(filepath.Join(dir, f.Name()))
			h.must(err)
			text += "\n" + sorted(string(data))
		}
		all[f.Name()] = text
	}
	if len(all) < 50 {
		h.Fatalf("%s has only %d files", dir, len(all))
	}
	return all
}

// differ compares two settingsOf.
func (h *harness) differ(what string, got, want map[string]string) {
	h.Helper()
	names := maps.Clone(got)
	maps.Copy(names, want)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if got[name] != want[name] {
			h.Errorf("%s: %s: %q, want %q", what, name, got[name], want[name])
		}
	}
}

// weighs gives the machine's disk the scheduler that knows weights, until the end
// of the test.
func (h *harness) weighs() {
	h.Helper()
	const file = "/sys/block/vda/queue/scheduler"
	h.must(exec.Command("modprobe", "bfq").Run())
	before, err := os.ReadFile(file)
	h.must(err)
	h.must(os.WriteFile(file, []byte("bfq"), 0))
	_, rest, _ := strings.Cut(string(before), "[")
	was, _, _ := strings.Cut(rest, "]")
	h.Cleanup(func() {
		h.must(os.WriteFile(file, []byte(was), 0))
		h.must(exec.Command("modprobe", "-r", "bfq").Run())
	})
}

// idleWeight is what cpu.weight holds in a group that is idle: 0, or 1 on kernels
// that show no less (those with sched_ext).
func (h *harness) idleWeight() string {
	h.Helper()
	dir := testenv.Cgroup(h.T)
	h.must(os.WriteFile(filepath.Join(filepath.Dir(dir), "cgroup.subtree_control"), []byte("+cpu"), 0))
	h.must(os.WriteFile(filepath.Join(dir, "cpu.idle"), []byte("1"), 0))
	data, err := os.ReadFile(filepath.Join(dir, "cpu.weight"))
	h.must(err)
	return strings.TrimSpace(string(data))
}

// TestVMSameFilesAsRunc: the same resources give the same settings, in the cgroup
// and in those above it that were made for it, which are those that were asked for,
// given as "file value, file value". All files are compared.
func TestVMSameFilesAsRunc(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu", "cpuset", "pids", "io", "hugetlb", "rdma", "misc"))
	if len(runtimes()) < 2 {
		t.Skip("compares two runtimes")
	}
	var both [2]*harness
	for i, runtime := range []string{mini, runc} {
		both[i] = newHarness(t, runtime, daemon)
	}
	h := both[0]
	_, device := h.diskDir()
	disk := fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
	loop, loopJSON := h.loopDevice()
	diskJSON := fmt.Sprintf(`"major":%d,"minor":%d`, unix.Major(device), unix.Minor(device))
	for _, c := range []struct{ res, files string }{
		{`{}`, "memory.max max, cpu.max max 100000, cpu.weight 100, pids.max max"},
		{
			`{"memory":{"limit":67108864,"reservation":33554432,"swap":100663296},"cpu":{"shares":512,"quota":50000,"period":200000,"burst":20000,"cpus":"1","mems":"0"},"pids":{"limit":42},"blockIO":{"weight":500}}`,
			"memory.max 67108864, memory.low 33554432, memory.swap.max 33554432, cpu.max 50000 200000, cpu.max.burst 20000, cpuset.cpus 1, cpuset.cpus.effective 1, cpuset.mems 0, cpu.weight 59, pids.max 42, io.weight default 4950",
		},
		{
			`{"memory":{"limit":67108864,"swap":67108864},"cpu":{"shares":2,"period":50000},"pids":{"limit":0},"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`,
			"memory.max 67108864, memory.swap.max 0, cpu.weight 1, cpu.max max 50000, pids.max 1, hugetlb.2MB.max 4194304, hugetlb.2MB.rsvd.max 4194304",
		},
		{
			`{"memory":{"limit":67108864,"swap":-1},"cpu":{"shares":262144,"quota":-1},"pids":{"limit":-1},"blockIO":{"throttleReadBpsDevice":[{` + diskJSON + `,"rate":1048576},{` + loopJSON + `,"rate":2097152}],"throttleWriteIOPSDevice":[{` + diskJSON + `,"rate":500}]}}`,
			"memory.swap.max max, cpu.weight 10000, cpu.max max 100000, pids.max max, io.max " + disk + " rbps=1048576 wbps=max riops=max wiops=500\n" + loop + " rbps=2097152 wbps=max riops=max wiops=max",
		},
		{`{"memory":{"limit":-1,"swap":33554432},"cpu":{"idle":1}}`, "memory.max max, memory.swap.max 33554432, cpu.idle 1, cpu.weight " + h.idleWeight()},
		{
			`{"memory":{"limit":67108864},"unified":{"memory.high":"33554432","memory.max":"50331648","memory.oom.group":"1","pids.max":"77","cpu.weight":"42","io.max":"` + disk + ` wbps=4096\n` + loop + ` riops=7\n"}}`,
			"memory.max 50331648, memory.high 33554432, memory.oom.group 1, pids.max 77, cpu.weight 42, io.max " + disk + " rbps=max wbps=4096 riops=max wiops=max\n" + loop + " rbps=max wbps=max riops=7 wiops=max",
		},
		{"bfq", ""}, // with the disk's scheduler from here on
		{`{"memory":{"limit":-1},"blockIO":{"weight":500,"weightDevice":[{` + diskJSON + `,"weight":300}]}}`, "memory.max max, memory.swap.max max, io.bfq.weight default 500\n" + disk + " 300, io.weight default 100"},
	} {
		if c.res == "bfq" {
			h.weighs()
			continue
		}
		var got [2]map[string]string
		for i, h := range both {
			above := fmt.Sprintf("/bed/same-%d", i)
			task := h.create(resources(c.res), oci.WithCgroup(above+"/group"), oci.WithProcessArgs("true"))
			task.holds(h.runtime+": "+c.res, c.files)
			got[i] = h.settingsOf(above + "/group")
			for name, text := range h.settingsOf(above) {
				got[i]["../"+name] = text
			}
			_, err := task.Delete(h.ctx, client.WithProcessKill)
			h.must(errors.Join(err, task.c.Delete(h.ctx, client.WithSnapshotCleanup)))
			if !h.mini() { // leaves what it made above
				h.must(os.Remove("/sys/fs/cgroup" + above))
			}
			h.renew()
		}
		h.differ(c.res, got[0], got[1])
	}
}

// sorted puts lines in order: the kernel shows devices as they came.
func sorted(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// loopDevice is a block device beside the disk, as "7:0" and as in a spec.
func (h *harness) loopDevice() (number, inSpec string) {
	h.Helper()
	file := filepath.Join(h.TempDir(), "image")
	h.must(os.WriteFile(file, make([]byte, 1<<20), 0o600))
	out, err := exec.Command("losetup", "-f", "--show", file).Output()
	h.must(err)
	path := strings.TrimSpace(string(out))
	h.Cleanup(func() { h.must(exec.Command("losetup", "-d", path).Run()) })
	var st unix.Stat_t
	h.must(unix.Stat(path, &st))
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)),
		fmt.Sprintf(`"major":%d,"minor":%d`, unix.Major(st.Rdev), unix.Minor(st.Rdev))
}
