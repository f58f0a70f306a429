// SPDX-License-Identifier: Apache-2.0

package seccomp

import "golang.org/x/sys/unix"

// maxProgram is the kernel's BPF_MAXINSNS.
const maxProgram = 4096

// reach is the largest number of instructions that a conditional jump can skip.
const reach = 255

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// label is a place in a program: the number of instructions from there to the end.
type label int

// assembler writes a program from its last instruction to its first. Jumps only lead
// forwards, so the target of a jump is already written.
type assembler struct {
	code []unix.SockFilter // reversed
	rets map[uint32]label  // the last return of each value
	full bool              // the program is too long; further instructions are dropped
}

// emit writes an instruction in front of the program.
func (a *assembler) emit(op uint16, k uint32, jt, jf uint8) label {
	if len(a.code) >= maxProgram {
		a.full = true
	} else {
		a.code = append(a.code, unix.SockFilter{Code: op, Jt: jt, Jf: jf, K: k})
	}
	return label(len(a.code))
}

// load writes the load of a word.
func (a *assembler) load(offset uint32) label {
	return a.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0)
}

// ret returns the place of a return of value, and writes one if none is near.
func (a *assembler) ret(value uint32) label {
	if at, ok := a.rets[value]; ok && len(a.code)-int(at) <= reach {
		return at
	}
	at := a.emit(unix.BPF_RET|unix.BPF_K, value, 0, 0)
	a.rets[value] = at
	return at
}

// jump writes a comparison of the loaded word with k.
func (a *assembler) jump(op uint16, k uint32, yes, no label) label {
	if yes == no {
		return a.ahead(yes)
	}
	for !a.full {
		switch n := len(a.code); {
		case n-int(yes) > reach:
			yes = a.near(yes)
		case n-int(no) > reach:
			no = a.near(no)
		default:
			return a.emit(unix.BPF_JMP|op|unix.BPF_K, k, uint8(n-int(yes)), uint8(n-int(no)))
		}
	}
	return label(len(a.code))
}

// ahead returns the front of the program if at is there, else writes a way to at.
func (a *assembler) ahead(at label) label {
	if int(at) == len(a.code) {
		return at
	}
	return a.near(at)
}

// near writes a place that does what the distant one does.
func (a *assembler) near(at label) label {
	if far := a.code[at-1]; far.Code == unix.BPF_RET|unix.BPF_K {
		here := a.emit(far.Code, far.K, 0, 0)
		a.rets[far.K] = here
		return here
	}
	return a.emit(unix.BPF_JMP|unix.BPF_JA, uint32(len(a.code)-int(at)), 0, 0)
}

// program returns the program in the order in which it runs.
func (a *assembler) program() []unix.SockFilter {
	p := make([]unix.SockFilter, len(a.code))
	for i, in := range a.code {
		p[len(p)-1-i] = in
	}
	return p
}
