// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// parent is the parent of a process: of a container's, its shim.
func (h *harness) parent(pid int) int {
	h.Helper()
	all, err := bed.Processes()
	h.must(err)
	for _, p := range all {
		if p.Pid == pid {
			return p.Parent
		}
	}
	h.Fatalf("no process %d", pid)
	return 0
}

// TestPod: what kubelet does with a pod and its containers over their lives.
func TestPod(t *testing.T) {
	allHandlers(t, func(t *testing.T, k *kubelet) {
		p := k.runPod()
		s, err := k.api.PodSandboxStatus(k.ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.id})
		k.must(err)
		k.equal("pod", s.Status.State.String(), "SANDBOX_READY")

		id := p.start(`trap 'echo bye; exit 4' TERM; echo hello; echo oops >&2; while :; do sleep 0.05; done`)
		other := p.start("while :; do sleep 1; done")
		st, pid := p.status(id)
		k.equal("container", st.State.String(), "CONTAINER_RUNNING")
		if _, second := p.status(other); k.parent(pid) != k.parent(second) {
			t.Error("the containers of the pod are not in one shim")
		}
		k.eventually(func() error {
			log := p.log(id)
			if !strings.Contains(log, " stdout F hello\n") || !strings.Contains(log, " stderr F oops\n") {
				return fmt.Errorf("log: %q", log)
			}
			return nil
		})
		r := p.exec(id, "echo in; echo err >&2; exit 3")
		k.equal("exec", fmt.Sprintf("%q %q %d", r.Stdout, r.Stderr, r.ExitCode), `"in\n" "err\n" 3`)

		stats, err := k.api.ContainerStats(k.ctx, &cri.ContainerStatsRequest{ContainerId: id})
		k.must(err)
		if k.mini() && stats.Stats.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0 {
			t.Errorf("no CPU time in %v", stats.Stats)
		}
		_, err = k.api.ListPodSandboxStats(k.ctx, &cri.ListPodSandboxStatsRequest{})
		k.must(err)

		_, err = k.api.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: 10})
		k.must(err)
		st = p.wait(id)
		if st.ExitCode != 4 || st.Reason != "Error" {
			t.Errorf("exit code %d, reason %q", st.ExitCode, st.Reason)
		}
		k.must(containsLine(p.log(id), " stdout F bye\n"))
		_, err = k.api.RemoveContainer(k.ctx, &cri.RemoveContainerRequest{ContainerId: id})
		k.must(err)
		if st, _ := p.status(other); st.State != cri.ContainerState_CONTAINER_RUNNING {
			t.Errorf("the other container is %v", st.State)
		}
	})
}

// TestPodEnds: reasons and exit codes of containers that end by themselves, are
// killed, or cannot be started.
func TestPodEnds(t *testing.T) {
	eachHandler(t, func(t *testing.T, k *kubelet) {
		p := k.runPod()
		for script, want := range map[string]string{
			"exit 0": "0 Completed", "exit 9": "9 Error", "kill -9 $$; sleep 9": "137 Error",
		} {
			s := p.wait(p.start(script, func(c *cri.ContainerConfig) {
				// To die of its own signal it must not be pid 1.
				c.Command = []string{"sh", "-c", `sh -c "$0"; exit $?`, script}
			}))
			k.equal(script, fmt.Sprintln(s.ExitCode, s.Reason), want+"\n")
		}
		id := p.create("", func(c *cri.ContainerConfig) { c.Command = []string{"/no/such/command"} })
		_, err := k.api.StartContainer(k.ctx, &cri.StartContainerRequest{ContainerId: id})
		if err == nil || !strings.Contains(err.Error(), "/no/such/command") {
			t.Errorf("%v; want an error that names the command", err)
		}
		if s := p.wait(id); s.Reason != "StartError" || s.ExitCode != 128 {
			t.Errorf("reason %q, exit code %d", s.Reason, s.ExitCode)
		}
		// Its grace period over, it is killed.
		id = p.start("trap '' TERM; echo ready; while :; do sleep 0.05; done")
		k.eventually(func() error { return containsLine(p.log(id), "ready") })
		_, err = k.api.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: 1})
		k.must(err)
		if s := p.wait(id); s.ExitCode != 137 {
			t.Errorf("exit code %d, want 137", s.ExitCode)
		}
	})
}

// TestPodProbes: exec probes, many, and one that takes too long and is ended.
func TestPodProbes(t *testing.T) {
	eachHandler(t, func(t *testing.T, k *kubelet) {
		p := k.runPod()
		id := p.start("while :; do sleep 1; done")
		for i := range 20 {
			if r := p.exec(id, fmt.Sprintf("test -d /proc && exit %d", i%2)); int(r.ExitCode) != i%2 {
				t.Fatalf("probe %d: exit code %d", i, r.ExitCode)
			}
		}
		_, err := k.api.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "7654321"}, Timeout: 1})
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v; want a DeadlineExceeded", err)
		}
		k.eventually(func() error {
			if n := running(t, "sleep 7654321"); n > 0 {
				return fmt.Errorf("%d probes run on", n)
			}
			return nil
		})
		bad, err := k.api.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"/no/such/probe"}})
		if err == nil || !strings.Contains(err.Error(), "/no/such/probe") {
			t.Errorf("%v, %v; want an error that names the command", bad, err)
		}
	})
}

// TestPodNamespaces: of a process namespace for each container, for the pod, and
// the node's.
func TestPodNamespaces(t *testing.T) {
	eachHandler(t, func(t *testing.T, k *kubelet) {
		for mode, want := range map[cri.NamespaceMode]string{
			cri.NamespaceMode_CONTAINER: "first",
			cri.NamespaceMode_POD:       "pause",
			cri.NamespaceMode_NODE:      "bed",
		} {
			p := k.runPod(func(c *cri.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = mode })
			id := p.start("while :; do sleep 1; done # first")
			r := p.exec(id, `tr '\0' ' ' </proc/1/cmdline`)
			got := "bed"
			switch text := string(r.Stdout); {
			case strings.Contains(text, "# first"):
				got = "first"
			case strings.Contains(text, "sleep 3600 & wait"):
				got = "pause"
			}
			k.equal(mode.String(), got, want)
			// Killed, and not only its first process, which in the pod's namespace is not pid 1.
			p.exec(id, "sleep 7654321 >/dev/null 2>&1 & true")
			_, err := k.api.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id})
			k.must(err)
			k.eventually(func() error {
				if n := running(t, "sleep 7654321"); n > 0 {
					return fmt.Errorf("%v: %d processes of the container live on", mode, n)
				}
				return nil
			})
		}
	})
}

// TestPodOverARestart: containerd finds pod and containers again.
func TestPodOverARestart(t *testing.T) {
	eachHandler(t, func(t *testing.T, k *kubelet) {
		p := k.runPod()
		id := p.start("trap 'exit 6' TERM; while :; do sleep 0.05; done")
		_, before := p.status(id)
		k.must(k.d.Kill())
		k.must(k.d.Restart(k.ctx))
		k.eventually(func() error { // CRI takes a moment more than containerd
			_, err := k.api.ContainerStatus(k.ctx, &cri.ContainerStatusRequest{ContainerId: id})
			return err
		})
		st, pid := p.status(id)
		if st.State != cri.ContainerState_CONTAINER_RUNNING || pid != before {
			t.Errorf("%v, pid %d; was running as %d", st.State, pid, before)
		}
		k.equal("exec", string(p.exec(id, "echo in").Stdout), "in\n")
		late := p.start("while :; do sleep 1; done")
		if _, second := p.status(late); k.parent(second) != k.parent(pid) {
			t.Error("a late container is in another shim")
		}
		_, err := k.api.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: 10})
		k.must(err)
		if s := p.wait(id); s.ExitCode != 6 {
			t.Errorf("exit code %d, want 6", s.ExitCode)
		}
	})
}

// TestPodSeccomp: containerd's own profile, which a pod asks for as RuntimeDefault.
func TestPodSeccomp(t *testing.T) {
	eachHandler(t, func(t *testing.T, k *kubelet) {
		id := k.runPod().create("", func(c *cri.ContainerConfig) {
			c.Command = []string{"sleep", "1000"}
			c.Linux.SecurityContext.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}
		})
		_, err := k.api.StartContainer(k.ctx, &cri.StartContainerRequest{ContainerId: id})
		k.must(err)
		r, err := k.api.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"grep", "Seccomp:", "/proc/1/status", "/proc/self/status"}})
		k.must(err)
		k.equal("filters", string(r.Stdout), "/proc/1/status:Seccomp:\t2\n/proc/self/status:Seccomp:\t2\n")
	})
}

// memoryLimit is a limit of a container's memory.
func memoryLimit(bytes int64) func(*cri.ContainerConfig) {
	return func(c *cri.ContainerConfig) {
		c.Linux.Resources = &cri.LinuxContainerResources{
			MemoryLimitInBytes: bytes, Unified: map[string]string{"memory.oom.group": "1"}, // as kubelet has it
		}
	}
}

// TestPodLimitNeedsTheController: without it a limit is refused by its name.
func TestPodLimitNeedsTheController(t *testing.T) {
	eachHandler(t, func(t *testing.T, k *kubelet) {
		if controller("memory") || !k.mini() {
			return // runc ignores what it cannot keep
		}
		id := k.runPod().create("true", memoryLimit(32<<20))
		_, err := k.api.StartContainer(k.ctx, &cri.StartContainerRequest{ContainerId: id})
		if err == nil || !strings.Contains(err.Error(), "memory.limit") {
			t.Errorf("%v; want an error that names memory.limit", err)
		}
	})
}

// TestVMPodLimits: limits, their update in place, and the reason of an OOM kill.
func TestVMPodLimits(t *testing.T) {
	testenv.Needs(t, testenv.Controllers("memory", "cpu"))
	eachHandler(t, func(t *testing.T, k *kubelet) {
		p := k.runPod()
		id := p.start("while :; do sleep 1; done", memoryLimit(32<<20))
		_, err := k.api.UpdateContainerResources(k.ctx, &cri.UpdateContainerResourcesRequest{
			ContainerId: id, Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: 64 << 20},
		})
		k.must(err)
		limit, err := os.ReadFile(p.group(id) + "/memory.max")
		k.must(err)
		k.equal("memory.max", strings.TrimSpace(string(limit)), strconv.Itoa(64<<20))
		if group, err := os.ReadFile(p.group(id) + "/memory.oom.group"); err != nil || string(group) != "1\n" {
			t.Errorf("memory.oom.group: %q, %v", group, err)
		}
		stats, err := k.api.ContainerStats(k.ctx, &cri.ContainerStatsRequest{ContainerId: id})
		k.must(err)
		if stats.Stats.GetMemory().GetWorkingSetBytes().GetValue() == 0 {
			t.Errorf("no memory in %v", stats.Stats)
		}
		s := p.wait(p.start("tail -c 100m /dev/zero", memoryLimit(32<<20)))
		told := s.Reason == "OOMKilled" || bed.Scopes() && !k.mini() // systemd may be faster than runc's shim
		if !told || s.ExitCode != 137 {
			t.Errorf("reason %q, exit code %d", s.Reason, s.ExitCode)
		}
	})
}

// TestPodFeatures: what CRI tells kubelet of the runtime, which it has from the
// shim's -info, and a recursively read-only mount, which it then allows.
func TestPodFeatures(t *testing.T) {
	allHandlers(t, func(t *testing.T, k *kubelet) {
		if r := k.d.Release(); r.Before(2, 0) || r.Before(2, 2) && k.criHandler.runtime != runc {
			return // it does not ask
		}
		s, err := k.api.Status(k.ctx, &cri.StatusRequest{})
		k.must(err)
		i := slices.IndexFunc(s.RuntimeHandlers, func(h *cri.RuntimeHandler) bool { return h.Name == k.name })
		if i < 0 {
			t.Fatalf("no handler %s in %v", k.name, s.RuntimeHandlers)
		}
		f := s.RuntimeHandlers[i].Features
		if !f.GetRecursiveReadOnlyMounts() || !f.GetUserNamespaces() {
			t.Errorf("features: %v", f)
		}
		host := t.TempDir()
		k.must(os.MkdirAll(host+"/below", 0o755))
		k.must(syscall.Mount("below", host+"/below", "tmpfs", 0, ""))
		t.Cleanup(func() { k.must(syscall.Unmount(host+"/below", syscall.MNT_DETACH)) })
		p := k.runPod()
		id := p.start("while :; do sleep 1; done", func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{HostPath: host, ContainerPath: "/mnt", Readonly: true, RecursiveReadOnly: true}}
		})
		if r := p.exec(id, "touch /mnt/x || touch /mnt/below/x"); r.ExitCode == 0 {
			t.Error("the mount below a recursively read-only one can be written to")
		}
	})
}

// TestPodNetwork: a pod in a network namespace that CRI and a CNI plugin made.
func TestPodNetwork(t *testing.T) {
	eachHandler(t, func(t *testing.T, k *kubelet) {
		p := k.runPod(func(c *cri.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_POD
			c.Hostname = "of-the-pod"
			c.Linux.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "80"}
		})
		s, err := k.api.PodSandboxStatus(k.ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.id})
		k.must(err)
		k.equal("address", s.Status.GetNetwork().GetIp(), "10.88.0.2")
		id := p.start("while :; do sleep 1; done")
		r := p.exec(id, "hostname; ip -4 -o addr show eth0 | grep -o 10.88.0.2; cat /proc/sys/net/ipv4/ip_unprivileged_port_start")
		k.equal("in the container", string(r.Stdout), "of-the-pod\n10.88.0.2\n80\n")
	})
}

// TestPodUserNamespace is what `hostUsers: false` makes: the pod's root is nobody
// outside, and its volumes look as if they were its own.
func TestPodUserNamespace(t *testing.T) {
	allHandlers(t, func(t *testing.T, k *kubelet) {
		if k.d.Release().Before(2, 0) {
			return // it has no idmapped mounts
		}
		if k.toml != "" && !k.path {
			// containerd itself cannot add the owner of stdio to options that are
			// not runc's: such a handler must have none.
			return
		}
		ids := []*cri.IDMapping{{HostId: 100000, Length: 65536}}
		p := k.runPod(func(c *cri.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_POD
			c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &cri.UserNamespace{
				Mode: cri.NamespaceMode_POD, Uids: ids, Gids: ids,
			}
		})
		volume := "/run/" + k.newID() // on a file system whose mounts can be mapped
		k.must(os.Mkdir(volume, 0o700))
		t.Cleanup(func() { os.RemoveAll(volume) })
		id := p.start("echo mine >/vol/file; while :; do sleep 1; done", func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{HostPath: volume, ContainerPath: "/vol", UidMappings: ids, GidMappings: ids}}
		})
		r := p.exec(id, "id -u; cat /proc/self/uid_map | tr -s ' '; stat -c %u /bin /etc/hosts /vol/file; touch /etc/mine && hostname >/dev/null")
		k.equal("in the container", string(r.Stdout), "0\n 0 100000 65536\n0\n0\n0\n")
		if r.ExitCode != 0 {
			t.Errorf("exit code %d: %s", r.ExitCode, r.Stderr)
		}
		_, pid := p.status(id)
		st, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		k.must(err)
		k.equal("owner of the process", fmt.Sprint(st.Sys().(*syscall.Stat_t).Uid), "100000")
		st, err = os.Stat(volume + "/file")
		k.must(err)
		k.equal("owner of the file", fmt.Sprint(st.Sys().(*syscall.Stat_t).Uid), "0")
		other := p.start("while :; do sleep 1; done")
		k.equal("another container", string(p.exec(other, "tr -s ' ' </proc/self/uid_map").Stdout), " 0 100000 65536\n")
	})
}
