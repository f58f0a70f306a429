// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"fmt"
	"strings"
)

// Compile turns the steps into what the child reads, once. Start does so, too; it is
// called before by who holds something over Start that others wait for, as the work is
// proportional to the steps and to what they read, which is for a specification to decide.
func (p *Program) Compile() error {
	if p.ops != nil {
		return nil
	}
	if err := p.mem.reserve(p.size()); err != nil {
		return fmt.Errorf("clone process: %w", err)
	}
	at := p.places()
	ops := NewSlice[op](p, len(p.steps)+outsideOps)
	p.ops = ops
	for i := range p.steps {
		ops[i] = p.op(&p.steps[i], at)
	}
	return nil
}

// places are the indexes of labels and of named steps, the first of each name.
type places struct{ labels, steps map[string]int32 }

func (p *Program) places() places {
	at := places{map[string]int32{}, map[string]int32{}}
	note := func(m map[string]int32, name string, i int) {
		if _, known := m[name]; !known {
			m[name] = int32(i)
		}
	}
	for i := range p.steps {
		s := &p.steps[i]
		if label, ok := strings.CutSuffix(s.For, ":"); ok && s.NR == opNop {
			note(at.labels, label, i)
		}
		if s.Name != "" {
			note(at.steps, s.Name, i)
		}
	}
	return at
}

func (p *Program) op(s *Step, at places) op {
	o := op{
		nr: s.NR, want: s.Want, check: s.Check,
		ok: at.label(s.OK), pos: at.label(s.Positive), fail: at.label(s.Fail),
	}
	if s.Out != nil {
		o.out = s.Out.val
	}
	for i := range s.Args {
		o.args[i] = p.value(&s.Args[i])
		if r := s.Args[i].reg; r != nil {
			o.regs[i] = r.val
		}
	}
	switch s.NR {
	case opSet:
		o.mem = p.target(s, at)
	case opByte:
		o.char = s.at
	}
	return o
}

// value is an argument as the child needs it.
func (p *Program) value(a *Arg) uintptr {
	switch {
	case a.kind == str:
		return address(p.bytes(a.name))
	case a.kind == strs:
		return address(p.vector(a))
	case a.mem && !p.mem.holds(a.value):
		panic("fork: argument outside the program's memory: " + a.name)
	}
	return a.value
}

// vector lays out an array of strings, and the strings.
func (p *Program) vector(a *Arg) **byte {
	ptrs := NewSlice[*byte](p, len(a.vec.strs)+1)
	for i, s := range a.vec.strs {
		ptrs[i] = p.bytes(s)
	}
	if a.vec.slot >= 0 {
		ptrs[a.vec.slot] = a.vec.text
	}
	return &ptrs[0]
}

// target is the number that an opSet step writes.
func (p *Program) target(set *Step, at places) *uintptr {
	i, ok := at.steps[set.target]
	switch {
	case !ok:
		panic("fork: no step " + set.target)
	case set.patch < 0:
		return &p.ops[i].nr
	}
	return &p.ops[i].args[set.patch]
}

// label is the index of a label's step. Index 0 means "none" to the child, so a
// program never goes back to its first step.
func (at places) label(name string) int32 {
	if name == "" {
		return 0
	}
	i, ok := at.labels[name]
	if !ok {
		panic("fork: no label " + name)
	}
	return i
}
