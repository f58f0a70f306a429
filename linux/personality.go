// SPDX-License-Identifier: Apache-2.0

package linux

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
)

// domains are the execution domains of personality(2) that the specification
// allows.
var domains = map[specs.LinuxPersonalityDomain]int{specs.PerLinux: 0x0000, specs.PerLinux32: 0x0008}

func checkPersonality(p *specs.LinuxPersonality) error {
	if p == nil {
		return nil
	}
	if _, ok := domains[p.Domain]; !ok {
		return invalid("linux.personality.domain", "unknown domain %q", p.Domain)
	}
	if len(p.Flags) > 0 {
		return invalid("linux.personality.flags", "the specification knows no flag %q", p.Flags[0])
	}
	return nil
}

// setPersonality comes before seccomp, which may forbid it.
func setPersonality(p *fork.Program, want *specs.LinuxPersonality) {
	if want == nil {
		return
	}
	p.Call("set personality "+string(want.Domain), unix.SYS_PERSONALITY, fork.Hex(domains[want.Domain]))
}
