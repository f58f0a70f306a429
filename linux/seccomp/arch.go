// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// arch is an architecture of system calls; it indexes numbers.
type arch uint8

const (
	x86 arch = iota
	x8664
	x32
	arm
	aarch64
)

// x32Bit is set in the numbers of x32, which shares its audit architecture with x86_64.
const x32Bit = 0x40000000

// architecture describes an arch.
type architecture struct {
	name  specs.Arch
	audit uint32 // AUDIT_ARCH_* of linux/audit.h: seccomp_data.arch
	bit   uint32 // set in all numbers
	wide  bool   // arguments have 64 bits
	mux   bool   // has socketcall(2) and ipc(2)
}

var architectures = [...]architecture{
	x86:     {name: specs.ArchX86, audit: unix.AUDIT_ARCH_I386, mux: true},
	x8664:   {name: specs.ArchX86_64, audit: unix.AUDIT_ARCH_X86_64, wide: true},
	x32:     {name: specs.ArchX32, audit: unix.AUDIT_ARCH_X86_64, bit: x32Bit},
	arm:     {name: specs.ArchARM, audit: unix.AUDIT_ARCH_ARM},
	aarch64: {name: specs.ArchAARCH64, audit: unix.AUDIT_ARCH_AARCH64, wide: true},
}

// family lists the architectures whose calls a kernel accepts, the native one first.
type family []arch

// familyOf returns the family of a machine, or nil for a GOARCH without support here.
func familyOf(goarch string) family {
	switch goarch {
	case "amd64":
		return family{x8664, x86, x32}
	case "arm64":
		return family{aarch64, arm}
	}
	return nil
}

// foreign lists the architectures of the specification that are in no family. No
// process can make their calls, so they need no code.
var foreign = []specs.Arch{
	specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32,
	specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
	specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE,
	specs.ArchS390, specs.ArchS390X,
	specs.ArchPARISC, specs.ArchPARISC64,
	specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K,
	specs.ArchSH, specs.ArchSHEB,
}

// selectArchs returns the native architecture and the members of f that the list names.
// bad is the index of a name that the specification does not have, or -1.
func (f family) selectArchs(list []specs.Arch) (archs []arch, bad int) {
	archs = append(archs, f[0])
	for i, name := range list {
		at := slices.IndexFunc(architectures[:], func(a architecture) bool { return a.name == name })
		switch {
		case at < 0 && !slices.Contains(foreign, name):
			return nil, i
		case at >= 0 && slices.Contains(f, arch(at)) && !slices.Contains(archs, arch(at)):
			archs = append(archs, arch(at))
		}
	}
	slices.Sort(archs[1:])
	return archs, -1
}
