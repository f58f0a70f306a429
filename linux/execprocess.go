// SPDX-License-Identifier: Apache-2.0

package linux

import specs "github.com/opencontainers/runtime-spec/specs-go"

// execProcess is an exec's process with what it leaves open taken from the
// container's, as in runc, but that runc lets go of the AppArmor profile: nobody
// asks for an unconfined exec by saying nothing.
func execProcess(exec, init *specs.Process) *specs.Process {
	p := *exec
	if p.Capabilities == nil {
		p.Capabilities = init.Capabilities
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
