// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"strings"
)

// insn is a struct bpf_insn on a little-endian machine (linux/bpf.h): opcode 8
// bits, destination and source register 4 each, offset 16, immediate 32.
type insn = uint64

// Opcodes: class | operation | source (linux/bpf.h, instruction-set.rst). The
// 32-bit forms look at the lower half of the registers.
const (
	opLoad   = 0x61 // dst = *(u32 *)(src + off)
	opMov    = 0xbc // dst = src, 32 bits
	opMovImm = 0xb4 // dst = imm, 32 bits
	opAnd    = 0x54 // dst &= imm, 32 bits
	opRsh    = 0x74 // dst >>= imm, 32 bits
	opJne    = 0x56 // if dst != imm, 32 bits
	opJeq    = 0x16 // if dst == imm, 32 bits
	opExit   = 0x95
)

// Registers. r1 is struct bpf_cgroup_dev_ctx at entry and scratch afterwards.
const (
	r0 = iota
	r1
	rKind
	rWanted // what is asked for and not yet allowed
	rMajor
	rMinor
)

func op(code, dst, src uint8, off int16, imm uint32) insn {
	return insn(code) | insn(dst)<<8 | insn(src)<<12 | insn(uint16(off))<<16 | insn(imm)<<32
}

// assemble makes the program that decides by the rules, from the last to the
// first:
//
//	wanted = the access asked for
//	for each rule, the last first:
//	    if it does not match the device: next
//	    deny:  if wanted has one of its accesses: return 0
//	    allow: wanted loses its accesses; if nothing is left: return 1
//	return 0
//
// so that for each kind of access the last matching rule decides.
func assemble(rules []deviceRule) []insn {
	p := []insn{
		op(opLoad, rKind, r1, 0, 0), // access << 16 | kind
		op(opMov, rWanted, rKind, 0, 0),
		op(opAnd, rKind, 0, 0, 0xffff),
		op(opRsh, rWanted, 0, 0, 16),
		op(opLoad, rMajor, r1, 4, 0),
		op(opLoad, rMinor, r1, 8, 0),
	}
	for i := len(rules) - 1; i >= 0; i-- {
		r := rules[i]
		p = append(p, block(r)...)
		if r.covers(deviceRule{major: anyNumber, minor: anyNumber, access: accAll}) {
			return p // it always returns
		}
	}
	return append(p, verdict(false)...)
}

// block is the code of one rule.
func block(r deviceRule) []insn {
	var do []insn // what is done when the rule matches
	switch {
	case r.access == accAll:
		do = verdict(r.allow)
	case r.allow:
		do = append([]insn{
			op(opAnd, rWanted, 0, 0, uint32(accAll&^r.access)),
			op(opJne, rWanted, 0, 2, 0),
		}, verdict(true)...)
	default:
		do = append([]insn{
			op(opMov, r1, rWanted, 0, 0),
			op(opAnd, r1, 0, 0, uint32(r.access)),
			op(opJeq, r1, 0, 2, 0),
		}, verdict(false)...)
	}
	var match []insn
	for _, m := range []struct {
		reg  uint8
		any  bool
		want uint32
	}{
		{rKind, r.kind == anyKind, uint32(r.kind)},
		{rMajor, r.major == anyNumber, uint32(r.major)},
		{rMinor, r.minor == anyNumber, uint32(r.minor)},
	} {
		if !m.any {
			match = append(match, op(opJne, m.reg, 0, 0, m.want))
		}
	}
	for i := range match { // jump over the rest of the block
		match[i] |= insn(len(match)-i-1+len(do)) << 16
	}
	return append(match, do...)
}

func verdict(allow bool) []insn {
	var v uint32
	if allow {
		v = 1
	}
	return []insn{op(opMovImm, r0, 0, 0, v), op(opExit, 0, 0, 0, 0)}
}

// dump writes a program as text, for golden files.
func dump(p []insn) string {
	names := []string{"r0", "r1", "kind", "wanted", "major", "minor"}
	var b strings.Builder
	for i, in := range p {
		dst, src := names[in>>8&0xf], names[in>>12&0xf]
		to, imm := i+1+int(int16(in>>16)), uint32(in>>32)
		fmt.Fprintf(&b, "%3d  ", i)
		switch uint8(in) {
		case opLoad:
			fmt.Fprintf(&b, "%s = u32 at %s + %d", dst, src, int16(in>>16))
		case opMov:
			fmt.Fprintf(&b, "%s = %s", dst, src)
		case opMovImm:
			fmt.Fprintf(&b, "%s = %d", dst, imm)
		case opAnd:
			fmt.Fprintf(&b, "%s &= %#x", dst, imm)
		case opRsh:
			fmt.Fprintf(&b, "%s >>= %d", dst, imm)
		case opJne:
			fmt.Fprintf(&b, "if %s != %d goto %d", dst, imm, to)
		case opJeq:
			fmt.Fprintf(&b, "if %s == %d goto %d", dst, imm, to)
		case opExit:
			b.WriteString("exit")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
