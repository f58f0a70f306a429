// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Allows reports whether the kernel makes a call with these arguments, on this machine's
// own architecture, as if there were no filter. Arguments that are left out are 0.
func (f *Filter) Allows(nr uint64, args ...uint64) bool {
	var data [16]uint32 // struct seccomp_data (linux/seccomp.h), of a little-endian machine
	data[0], data[1] = uint32(nr), auditArch()
	for i, a := range args {
		data[4+2*i], data[5+2*i] = uint32(a), uint32(a>>32)
	}
	return run(f.Program, &data) == unix.SECCOMP_RET_ALLOW
}

func auditArch() uint32 {
	if runtime.GOARCH == "arm64" {
		return unix.AUDIT_ARCH_AARCH64
	}
	return unix.AUDIT_ARCH_X86_64
}

// run is what a program of ours returns. An instruction that none of ours has kills.
func run(program []unix.SockFilter, data *[16]uint32) uint32 {
	var acc uint32
	for pc := 0; pc < len(program); pc++ {
		in := program[pc]
		yes := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = data[in.K/4]
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
			continue
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			yes = acc == in.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			yes = acc > in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			yes = acc >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			yes = acc&in.K != 0
		default:
			return unix.SECCOMP_RET_KILL_PROCESS
		}
		if yes {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	return unix.SECCOMP_RET_KILL_PROCESS
}
