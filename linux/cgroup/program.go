// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"math"
)

// insn is a struct bpf_insn on a little-endian machine (linux/bpf.h): opcode 8
// bits, destination and source register 4 each, offset 16, immediate 32.
type insn = uint64

// Opcodes: class, operation and source in one (linux/bpf.h,
// Documentation/bpf/standardization/instruction-set.rst). All but the load,
// goto and exit are the 32-bit forms.
const (
	opLoad   = 0x61 // dst = *(u32 *)(src + off)
	opMov    = 0xbc // dst = src
	opMovImm = 0xb4 // dst = imm
	opAnd    = 0x54 // dst &= imm
	opOr     = 0x4c // dst |= src
	opLsh    = 0x64 // dst <<= imm
	opRsh    = 0x74 // dst >>= imm
	opGoto   = 0x05
	opJeq    = 0x16 // if dst == imm
	opJne    = 0x56 // if dst != imm
	opJset   = 0x46 // if dst & imm
	opExit   = 0x95
)

// Registers. r1 is struct bpf_cgroup_dev_ctx at entry.
const (
	r0 = iota
	r1
	rKind
	rWanted // the access asked for and not yet allowed
	rMajor
	rMinor
	rDevice // major << minorBits | minor
)

// The kernel's device numbers have 32 bits (linux/kdev_t.h).
const (
	minorBits = 20
	maxMajor  = 1<<12 - 1
	maxMinor  = 1<<minorBits - 1
)

func op(code, dst, src uint8, off int16, imm uint32) insn {
	return insn(code) | insn(dst)<<8 | insn(src)<<12 | insn(uint16(off))<<16 | insn(imm)<<32
}

// maxRules keeps every jump within its 16 bits, with 3 instructions for a rule
// that stands in both parts.
const maxRules = math.MaxInt16/6 - 8

// fits refuses more rules than a program can have.
func fits(rules []deviceRule) error {
	if len(rules) > maxRules {
		return invalid("devices", fmt.Sprintf("%d rules are more than %d", len(rules), maxRules))
	}
	return nil
}

// assemble makes the program that decides by the rules, the last one first, so
// that for each kind of access the last rule that matches decides:
//
//	wanted = the access asked for
//	a part for character and one for block devices:
//	    for each rule of that kind, the last first, if it matches the device:
//	        all of rwm:  return what it says
//	        allow some:  wanted loses them; if nothing is left: return 1
//	        deny some:   if wanted has one of them: return 0
//	return 0
//
// Nearly all of the time to load it goes to the kernel's verifier, which pays
// for every branch: hence the two parts, one comparison for a device's whole
// number, and common ends that all branches jump to.
func assemble(rules []deviceRule) ([]insn, error) {
	if err := fits(rules); err != nil {
		return nil, err
	}
	a := assembler{code: []insn{
		op(opLoad, rKind, r1, 0, 0), // access << 16 | kind
		op(opLoad, rMajor, r1, 4, 0),
		op(opLoad, rMinor, r1, 8, 0),
		op(opMov, rWanted, rKind, 0, 0),
		op(opRsh, rWanted, 0, 0, 16),
		op(opAnd, rKind, 0, 0, 0xffff),
		op(opMov, rDevice, rMajor, 0, 0),
		op(opLsh, rDevice, 0, 0, minorBits),
		op(opOr, rDevice, rMinor, 0, 0),
	}}
	fork := a.emit(op(opJeq, rKind, 0, 0, uint32(blockDevice)))
	a.part(rules, charDevice)
	a.jumpHere(fork)
	a.part(rules, blockDevice)
	for _, verdict := range []uint32{0, 1} {
		if len(a.to[verdict]) == 0 {
			continue // the verifier refuses code that nothing leads to
		}
		for _, at := range a.to[verdict] {
			a.jumpHere(at)
		}
		a.emit(op(opMovImm, r0, 0, 0, verdict))
		a.emit(op(opExit, 0, 0, 0, 0))
	}
	return a.code, nil
}

// assembler gathers the code and the jumps to the two ends of the program.
type assembler struct {
	code []insn
	to   [2][]int // jumps whose target is not known yet: to deny, to allow
}

func (a *assembler) emit(in insn) int {
	a.code = append(a.code, in)
	return len(a.code) - 1
}

// jumpHere makes the next instruction the target of the jump at that index.
func (a *assembler) jumpHere(at int) {
	a.code[at] |= insn(uint16(len(a.code)-at-1)) << 16
}

// end emits a jump to the end that allows or denies.
func (a *assembler) end(allow bool, jump insn) {
	verdict := 0
	if allow {
		verdict = 1
	}
	a.to[verdict] = append(a.to[verdict], a.emit(jump))
}

// part is the code for the devices of one kind. It always ends in a jump.
func (a *assembler) part(rules []deviceRule, kind deviceKind) {
	for i := len(rules) - 1; i >= 0; i-- {
		r := rules[i]
		if (r.kind != anyKind && r.kind != kind) || r.major > maxMajor || r.minor > maxMinor {
			continue // no such device
		}
		reg, number := r.number()
		switch {
		case r.access == accAll && reg == 0:
			a.end(r.allow, op(opGoto, 0, 0, 0, 0))
			return // nothing gets past it
		case r.access == accAll:
			a.end(r.allow, op(opJeq, reg, 0, 0, number))
		case reg == 0:
			a.some(r)
		default:
			over := a.emit(op(opJne, reg, 0, 0, number))
			a.some(r)
			a.jumpHere(over)
		}
	}
	a.end(false, op(opGoto, 0, 0, 0, 0))
}

// some makes the instructions for a matching rule for a part of rwm.
func (a *assembler) some(r deviceRule) {
	if !r.allow {
		a.end(false, op(opJset, rWanted, 0, 0, uint32(r.access)))
		return
	}
	a.emit(op(opAnd, rWanted, 0, 0, uint32(accAll&^r.access)))
	a.end(true, op(opJeq, rWanted, 0, 0, 0))
}

// number is the register to look at, 0 when every device matches, and what it
// must hold.
func (r deviceRule) number() (reg uint8, number uint32) {
	switch {
	case r.major == anyNumber && r.minor == anyNumber:
		return 0, 0
	case r.minor == anyNumber:
		return rMajor, uint32(r.major)
	case r.major == anyNumber:
		return rMinor, uint32(r.minor)
	}
	return rDevice, uint32(r.major)<<minorBits | uint32(r.minor)
}
