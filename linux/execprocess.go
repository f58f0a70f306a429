// SPDX-License-Identifier: Apache-2.0

package linux

import specs "github.com/opencontainers/runtime-spec/specs-go"

// execProcess returns an exec's process in which the fields that it leaves out are
// those of the container's process, as in runc: all but rlimits, which are the shim's
// own then. Two differ: runc drops the AppArmor profile, but nobody asks for an
// unconfined exec by saying nothing; and runc takes oom_score_adj and umask from the
// container even if the exec has its own.
func execProcess(exec, init *specs.Process) *specs.Process {
	p := *exec
	if p.Capabilities == nil {
		p.Capabilities = init.Capabilities
	}
	if p.OOMScoreAdj == nil {
		p.OOMScoreAdj = init.OOMScoreAdj
	}
	if p.User.Umask == nil {
		p.User.Umask = init.User.Umask
	}
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = init.ApparmorProfile
	}
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = init.SelinuxLabel
	}
	if p.Scheduler == nil {
		p.Scheduler = init.Scheduler
	}
	if p.IOPriority == nil {
		p.IOPriority = init.IOPriority
	}
	if p.ExecCPUAffinity == nil {
		p.ExecCPUAffinity = init.ExecCPUAffinity
	}
	return &p
}
