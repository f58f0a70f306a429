// SPDX-License-Identifier: Apache-2.0

package seccomp

import "golang.org/x/sys/unix"

// rules writes code that tries the rules in order and goes to no if none holds.
func (a *assembler) rules(rules []rule, wide bool, no label) label {
	for i := len(rules) - 1; i >= 0 && !a.full; {
		n := alike(rules[:i+1], wide)
		if n > 1 {
			no = a.oneOf(rules[i+1-n:i+1], wide, no)
		} else {
			no = a.conditions(rules[i].conds, wide, a.ret(rules[i].ret), no)
		}
		i -= n
	}
	return no
}

// alike returns how many of the last rules do nothing but compare the same argument with
// values whose upper halves are the same. They share the load of the lower half.
func alike(rules []rule, wide bool) int {
	single := func(r rule) bool { return len(r.conds) == 1 && r.conds[0].op == equal }
	last := rules[len(rules)-1]
	n := 1
	for i := len(rules) - 2; i >= 0 && single(last) && single(rules[i]); i-- {
		c, d := rules[i].conds[0], last.conds[0]
		if c.arg != d.arg || wide && c.value>>32 != d.value>>32 {
			break
		}
		n++
	}
	return n
}

// oneOf writes the comparisons of an argument with the values of rules that are alike.
func (a *assembler) oneOf(rules []rule, wide bool, no label) label {
	c := rules[0].conds[0]
	next := no
	for i := len(rules) - 1; i >= 0 && !a.full; i-- {
		next = a.jump(unix.BPF_JEQ, uint32(rules[i].conds[0].value), a.ret(rules[i].ret), next)
	}
	next = a.loadBefore(c.arg, 0, next)
	if wide {
		next = a.jump(unix.BPF_JEQ, uint32(c.value>>32), next, no)
		next = a.loadBefore(c.arg, 1, next)
	}
	return next
}

// loadBefore writes the load of half an argument in front of next. 0 is the lower half,
// which comes first: both of our machines are little-endian.
func (a *assembler) loadBefore(arg, half uint8, next label) label {
	a.ahead(next)
	return a.load(offArgs + 8*uint32(arg) + 4*uint32(half))
}

// conditions writes code that goes to yes if all conditions hold, else to no.
func (a *assembler) conditions(conds []condition, wide bool, yes, no label) label {
	for i := len(conds) - 1; i >= 0; i-- {
		yes = a.condition(conds[i], wide, yes, no)
	}
	return yes
}

func (a *assembler) condition(c condition, wide bool, yes, no label) label {
	switch c.op {
	case notEqual:
		return a.equal(c, wide, no, yes)
	case less:
		return a.above(c, unix.BPF_JGE, wide, no, yes)
	case lessEqual:
		return a.above(c, unix.BPF_JGT, wide, no, yes)
	case greaterEqual:
		return a.above(c, unix.BPF_JGE, wide, yes, no)
	case greater:
		return a.above(c, unix.BPF_JGT, wide, yes, no)
	}
	return a.equal(c, wide, yes, no)
}

// equal compares the halves of which the mask leaves something.
func (a *assembler) equal(c condition, wide bool, yes, no label) label {
	if uint32(c.mask) != 0 {
		yes = a.half(c, 0, yes, no)
	}
	if wide && c.mask>>32 != 0 {
		yes = a.half(c, 1, yes, no)
	}
	return yes
}

func (a *assembler) half(c condition, half uint8, yes, no label) label {
	mask, value := uint32(c.mask>>(32*half)), uint32(c.value>>(32*half))
	next := a.jump(unix.BPF_JEQ, value, yes, no)
	if mask != 0xffffffff {
		a.ahead(next)
		next = a.emit(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask, 0, 0)
	}
	return a.loadBefore(c.arg, half, next)
}

// above compares with op, which is BPF_JGT or BPF_JGE. Of two halves, the lower one
// decides if the upper ones are equal.
func (a *assembler) above(c condition, op uint16, wide bool, yes, no label) label {
	next := a.jump(op, uint32(c.value), yes, no)
	next = a.loadBefore(c.arg, 0, next)
	if wide {
		high := uint32(c.value >> 32)
		next = a.jump(unix.BPF_JEQ, high, next, no)
		next = a.jump(unix.BPF_JGT, high, yes, next)
		next = a.loadBefore(c.arg, 1, next)
	}
	return next
}
