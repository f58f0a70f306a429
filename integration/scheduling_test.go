// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// readsOnly is a process that waits and makes no other: one with a deadline may not
// fork.
func readsOnly() oci.SpecOpts { return sh("echo ready; read x") }

// schedOf is a process's policy, with what of its parameters the policy uses.
func (h *harness) schedOf(pid uint32) string {
	h.Helper()
	a, err := unix.SchedGetAttr(int(pid), 0)
	h.must(err)
	text := fmt.Sprintf("policy %d flags %#x", a.Policy, a.Flags)
	switch a.Policy {
	case unix.SCHED_NORMAL, unix.SCHED_BATCH:
		text += fmt.Sprintf(" nice %d", a.Nice)
	case unix.SCHED_FIFO, unix.SCHED_RR:
		text += fmt.Sprintf(" priority %d", a.Priority)
	case unix.SCHED_DEADLINE:
		text += fmt.Sprintf(" runtime %d deadline %d period %d", a.Runtime, a.Deadline, a.Period)
	}
	return text
}

// TestScheduler: each policy and flag that the kernel has; what it refuses fails
// Create.
func TestScheduler(t *testing.T) {
	const ms = 1_000_000
	tests := []struct {
		s    specs.Scheduler
		want string // as schedOf; empty: an error
	}{
		{specs.Scheduler{Policy: specs.SchedOther, Nice: 5}, "policy 0 flags 0x0 nice 5"},
		{specs.Scheduler{Policy: specs.SchedBatch, Nice: -3}, "policy 3 flags 0x0 nice -3"},
		{specs.Scheduler{Policy: specs.SchedIdle}, "policy 5 flags 0x0"},
		{specs.Scheduler{Policy: specs.SchedFIFO, Priority: 7}, "policy 1 flags 0x0 priority 7"},
		{specs.Scheduler{Policy: specs.SchedRR, Priority: 3, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}, "policy 2 flags 0x1 priority 3"},
		{specs.Scheduler{
			Policy: specs.SchedDeadline, Runtime: 2 * ms, Deadline: 30 * ms, Period: 100 * ms,
			Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagReclaim, specs.SchedFlagDLOverrun},
		}, "policy 6 flags 0x6 runtime 2000000 deadline 30000000 period 100000000"},
		{specs.Scheduler{Policy: specs.SchedIdle, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagKeepPolicy}}, "policy 0 flags 0x0 nice 0"},
		{specs.Scheduler{Policy: specs.SchedBatch, Nice: 4, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagKeepParams}}, fmt.Sprintf("policy 0 flags 0x0 nice %d", niceness())},
		{specs.Scheduler{Policy: specs.SchedISO}, ""},
		{specs.Scheduler{Policy: specs.SchedFIFO, Priority: 100}, ""},
		{specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 2, Deadline: 1}, ""},
	}
	each(t, func(t *testing.T, h *harness) {
		for _, test := range tests {
			opt := process(func(p *specs.Process) { p.Scheduler = &test.s })
			task, err := h.tryCreate(h.container(readsOnly(), opt))
			if test.want == "" {
				if err == nil || !strings.Contains(err.Error(), "invalid argument") {
					t.Errorf("%+v: %v; want invalid argument", test.s, err)
				}
				continue
			}
			h.must(err)
			h.must(task.Start(h.ctx))
			task.expect("ready")
			h.equal(fmt.Sprintf("%+v", test.s), h.schedOf(task.Pid()), test.want)
			task.kill()
		}
	})
}

// niceness is our own, which the bed's daemon has inherited.
func niceness() int {
	a, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return 0
	}
	return int(a.Nice)
}

// ioPriorityOf is a process's class and priority (ioprio_get(2)).
func ioPriorityOf(pid uint32) string {
	v, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_GET, 1, uintptr(pid), 0)
	return fmt.Sprint(v>>13, v&7, errno)
}

// TestExecScheduling: an exec has its own scheduler and I/O priority, or the
// container's.
func TestExecScheduling(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		task := h.start(forever(), process(func(p *specs.Process) {
			p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 3}
			p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		}))
		task.expect("ready")
		h.equal("init's I/O priority", ioPriorityOf(task.Pid()), fmt.Sprint(2, 6, unix.Errno(0)))
		for _, test := range []struct {
			name       string
			change     func(p *specs.Process)
			sched, ios string
		}{
			{"own", func(p *specs.Process) {
				p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: 1}
				p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE, Priority: 0}
			}, "policy 0 flags 0x0 nice 1", fmt.Sprint(3, 0, unix.Errno(0))},
			{"the container's", func(p *specs.Process) { p.Scheduler, p.IOPriority = nil, nil }, "policy 3 flags 0x0 nice 3", fmt.Sprint(2, 6, unix.Errno(0))},
		} {
			e := task.exec(readsOnly(), process(test.change))
			h.must(e.Start(h.ctx))
			h.eventually(func() error {
				if e.out.String() != "ready\n" {
					return fmt.Errorf("%s: stdout %q, stderr %q", test.name, e.out, e.errs)
				}
				return nil
			})
			h.equal(test.name, h.schedOf(e.Pid()), test.sched)
			h.equal(test.name, ioPriorityOf(e.Pid()), test.ios)
			h.must(e.Kill(h.ctx, unix.SIGKILL))
			<-e.exit
			_, err := e.Delete(h.ctx)
			h.must(err)
		}
		task.kill()
	})
}

// TestExecDefaults: capabilities that an exec leaves out are the container's, limits
// the shim's.
func TestExecDefaults(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		task := h.start(forever(), process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 77}}
			caps := []string{"CAP_CHOWN"}
			p.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
		}))
		task.expect("ready")
		out, errs, _ := task.execs(sh("test $(ulimit -n) != 77; echo $?; grep CapEff /proc/self/status | tr '\t' ' '"), process(func(p *specs.Process) {
			p.Rlimits, p.Capabilities = nil, nil
		}))
		h.equal("exec", out+errs, "0\nCapEff: 0000000000000001\n")
		task.kill()
	})
}

// TestCPUAffinity: what a shim is confined to is not the container's lot, and an
// exec has the CPUs that it asks for.
func TestCPUAffinity(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("one CPU")
	}
	each(t, func(t *testing.T, h *harness) {
		const script = "sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status"
		all := h.prints(script)
		task := h.start(forever())
		task.expect("ready")
		var first unix.CPUSet
		first.Set(0)
		h.confine(task.shim(), &first)
		for _, test := range []struct {
			initial, final, want string
		}{{"", "", all}, {"0", "", "0"}, {"", "1", "1"}, {"0", "1", "1"}, {"1", "0-1", "0-1"}} {
			out, errs, _ := task.execs(sh(script), process(func(p *specs.Process) {
				if test.initial+test.final != "" {
					p.ExecCPUAffinity = &specs.CPUAffinity{Initial: test.initial, Final: test.final}
				}
			}))
			got := strings.TrimSpace(out + errs)
			if test.final == "" && got == all {
				continue // before Linux 6.2 the change of cgroup forgets the initial CPUs
			}
			h.equal(fmt.Sprintf("initial %q final %q", test.initial, test.final), got, test.want)
		}
		task.kill()
	})
}

// confine sets the CPUs of all threads of a process.
func (h *harness) confine(pid int, cpus *unix.CPUSet) {
	h.Helper()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	h.must(err)
	for _, thread := range threads {
		var tid int
		_, err := fmt.Sscan(thread.Name(), &tid)
		h.must(err)
		h.must(unix.SchedSetaffinity(tid, cpus))
	}
}

// TestMemoryPolicy: init and execs have it.
func TestMemoryPolicy(t *testing.T) {
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		t.Skip("a kernel without NUMA")
	}
	each(t, func(t *testing.T, h *harness) {
		const script = "head -n 1 /proc/self/numa_maps | cut -d' ' -f2"
		for want, m := range map[string]*specs.LinuxMemoryPolicy{
			"default":             {Mode: specs.MpolDefault},
			"local":               {Mode: specs.MpolLocal},
			"bind:0":              {Mode: specs.MpolBind, Nodes: "0"},
			"bind=static:0":       {Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}},
			"interleave:0":        {Mode: specs.MpolInterleave, Nodes: "0"},
			"prefer:0":            {Mode: specs.MpolPreferred, Nodes: "0"},
			"prefer (many):0":     {Mode: specs.MpolPreferredMany, Nodes: "0"},
			"prefer=relative:0":   {Mode: specs.MpolPreferred, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFRelativeNodes}},
			"weighted interleave": {Mode: specs.MpolWeightedInterleave, Nodes: "0"},
		} {
			task := h.start(sh(script+"; read x"), spec(func(s *specs.Spec) { s.Linux.MemoryPolicy = m }))
			task.expect("\n")
			out, errs, _ := task.execs(sh(script))
			task.kill()
			first, _, _ := strings.Cut(want, " ")
			h.equal(want, task.out.String()+out+errs, first+"\n"+first+"\n")
		}
		_, err := h.container(sh("true"), spec(func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "1023"}
		})).NewTask(h.ctx, cio.NullIO)
		if err == nil || !strings.Contains(err.Error(), "invalid argument") {
			t.Errorf("a node that is not there: %v; want invalid argument", err)
		}
	})
}

// TestPersonality of init and execs.
func TestPersonality(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for domain, want := range map[specs.LinuxPersonalityDomain]string{specs.PerLinux: "00000000", specs.PerLinux32: "00000008"} {
			const script = "cat /proc/self/personality"
			task := h.start(sh(script+"; uname -m; read x"), spec(func(s *specs.Spec) {
				s.Linux.Personality = &specs.LinuxPersonality{Domain: domain}
			}))
			task.expect("\n")
			out, errs, _ := task.execs(sh(script))
			task.kill()
			h.equal(string(domain), out+errs, want+"\n")
			if got := task.out.String(); !strings.HasPrefix(got, want+"\n") || domain == specs.PerLinux32 && strings.Contains(got, "64") {
				t.Errorf("%s: init has %q", domain, got)
			}
		}
	})
}
