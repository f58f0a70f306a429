// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
)

// schedPolicies are the policies of sched_setattr(2). SCHED_ISO has a number and
// no kernel that knows it: that one refuses it.
var schedPolicies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: unix.SCHED_NORMAL, specs.SchedFIFO: unix.SCHED_FIFO, specs.SchedRR: unix.SCHED_RR,
	specs.SchedBatch: unix.SCHED_BATCH, specs.SchedISO: 4, specs.SchedIdle: unix.SCHED_IDLE,
	specs.SchedDeadline: unix.SCHED_DEADLINE,
}

// schedFlags are its flags. The two of util_clamp set the clamp to 0, as in runc:
// the specification has no field for the value.
var schedFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: unix.SCHED_FLAG_RESET_ON_FORK, specs.SchedFlagReclaim: unix.SCHED_FLAG_RECLAIM,
	specs.SchedFlagDLOverrun: unix.SCHED_FLAG_DL_OVERRUN, specs.SchedFlagKeepPolicy: unix.SCHED_FLAG_KEEP_POLICY,
	specs.SchedFlagKeepParams: unix.SCHED_FLAG_KEEP_PARAMS, specs.SchedFlagUtilClampMin: unix.SCHED_FLAG_UTIL_CLAMP_MIN,
	specs.SchedFlagUtilClampMax: unix.SCHED_FLAG_UTIL_CLAMP_MAX,
}

// checkScheduler refuses what process.scheduler cannot mean.
func checkScheduler(field string, s *specs.Scheduler) error {
	if s == nil {
		return nil
	}
	if _, ok := schedPolicies[s.Policy]; !ok {
		return invalid(field+".policy", "unknown policy %q", s.Policy)
	}
	for i, f := range s.Flags {
		if _, ok := schedFlags[f]; !ok {
			return invalid(fmt.Sprintf("%s.flags[%d]", field, i), "unknown flag %q", f)
		}
	}
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	normal := s.Policy == specs.SchedOther || s.Policy == specs.SchedBatch
	switch {
	case normal && (s.Nice < -20 || s.Nice > 19):
		return invalid(field+".nice", "%d is not between -20 and 19", s.Nice)
	case s.Priority != 0 && !realtime:
		return invalid(field+".priority", "policy %s has none", s.Policy)
	case s.Policy != specs.SchedDeadline && (s.Runtime != 0 || s.Deadline != 0 || s.Period != 0):
		return invalid(field, "runtime, deadline and period are for SCHED_DEADLINE")
	}
	return nil
}

// setScheduler sets the policy while the child has the shim's CAP_SYS_NICE, and
// after its affinity: the kernel admits a deadline only for a task that may run
// everywhere.
func setScheduler(p *fork.Program, s *specs.Scheduler) {
	if s == nil {
		return
	}
	attr := fork.New(p, unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: schedPolicies[s.Policy], Nice: s.Nice, Priority: uint32(s.Priority),
		Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	})
	for _, f := range s.Flags {
		attr.Flags |= schedFlags[f]
	}
	p.Call("set scheduler "+string(s.Policy), unix.SYS_SCHED_SETATTR, fork.Int(0), fork.Mem(attr, "{"+string(s.Policy)+"}"), fork.Int(0))
}

// schedulesLate reports whether the process sets its policy itself, as its forerunner's
// would not be its own: a process with a deadline cannot clone, and a policy that is
// reset at a clone is (sched(7)).
func (id *identity) schedulesLate() bool {
	s := id.proc.Scheduler
	return id.forerun && s != nil && (s.Policy == specs.SchedDeadline || slices.Contains(s.Flags, specs.SchedFlagResetOnFork))
}

// ioClasses are the classes of ioprio_set(2).
var ioClasses = map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}

func checkIOPriority(field string, io *specs.LinuxIOPriority) error {
	switch {
	case io == nil:
		return nil
	case ioClasses[io.Class] == 0:
		return invalid(field+".class", "unknown class %q", io.Class)
	case io.Priority < 0 || io.Priority > 7:
		return invalid(field+".priority", "%d is not between 0 and 7", io.Priority)
	}
	return nil
}

// setIOPriority sets that of the process group, which is the child's own since it
// has a session of its own.
func setIOPriority(p *fork.Program, io *specs.LinuxIOPriority) {
	if io == nil {
		return
	}
	const whoGroup, classShift = 2, 13 // include/uapi/linux/ioprio.h
	p.Call(fmt.Sprintf("set I/O priority %s %d", io.Class, io.Priority), unix.SYS_IOPRIO_SET, fork.Int(whoGroup), fork.Int(0), fork.Hex(ioClasses[io.Class]<<classShift|io.Priority))
}
