// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// operator is a comparison; it indexes operators.
type operator uint8

const (
	equal operator = iota
	greaterEqual
	greater
	lessEqual
	less
	maskedEqual
	notEqual
)

var operators = [...]specs.LinuxSeccompOperator{
	equal:        specs.OpEqualTo,
	greaterEqual: specs.OpGreaterEqual,
	greater:      specs.OpGreaterThan,
	lessEqual:    specs.OpLessEqual,
	less:         specs.OpLessThan,
	maskedEqual:  specs.OpMaskedEqual,
	notEqual:     specs.OpNotEqual,
}

func (o operator) class() int {
	switch o {
	case lessEqual, less:
		return 1
	case greaterEqual, greater:
		return 2
	}
	return 0
}

// condition compares one argument. mask is all ones except for maskedEqual; there value
// has no bits outside mask.
type condition struct {
	arg         uint8
	op          operator
	value, mask uint64
}

// append appends the condition's bytes to a key.
func (c condition) append(key []byte) []byte {
	key = append(key, c.arg, byte(c.op))
	for shift := 0; shift < 64; shift += 8 {
		key = append(key, byte(c.value>>shift), byte(c.mask>>shift))
	}
	return key
}

// low returns conds as an architecture with 32-bit arguments sees them.
func low(conds []condition) []condition {
	out := slices.Clone(conds)
	for i := range out {
		out[i].value &= 0xffffffff
		out[i].mask &= 0xffffffff
	}
	return trim(out)
}

// trim returns conds without those that always hold.
func trim(conds []condition) []condition {
	always := func(c condition) bool { return c.op == maskedEqual && c.mask == 0 }
	return slices.DeleteFunc(slices.Clone(conds), always)
}

// through returns a rule's conditions for sub-call nr of socketcall(2) or ipc(2), whose
// first argument is the number of the sub-call. Conditions on the call's own first
// argument are dropped, as libseccomp does.
func through(conds []condition, nr uint64) []condition {
	out := []condition{{op: equal, value: nr, mask: 0xffffffff}}
	for _, c := range conds {
		if c.arg != 0 {
			out = append(out, c)
		}
	}
	return out
}
