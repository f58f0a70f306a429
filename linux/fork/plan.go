// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is what a child will do: a flat list of steps, and the memory they
// read and write. It is built once and used for one child, or a second one where
// the first was Stillborn.
//
// Its memory is outside Go's heap: Close gives it back.
type Program struct {
	steps []Step
	ops   []op
	mem   arena
	regs  int
}

// Step is one system call of the child, as the parent sees it.
type Step struct {
	For  string // what it does, for the error sentence: `mount proc on /proc`
	Name string // by which Skip and Patch refer to it; empty for most
	NR   uintptr
	Args []Arg
	Out  *Reg // takes the result

	// OK, Positive and Fail name the label to go on at after success, after a
	// result above 0, after an error; empty: the next step, as OK, report the
	// error and exit.
	OK, Positive, Fail string
	// Want, when Check is set, is the only result that is a success.
	Want  uintptr
	Check bool

	target string // opSet: the Name of the step to change
	patch  int    // opSet: which argument of it, -1 for its NR
	at     *byte  // opByte: what is read
}

// Steps that are no system call.
const (
	OpNop  = opNop  // nothing: a place to jump from
	OpFail = opFail // fails with errno Args[0]
)

// Reg holds a result, such as a file descriptor, for later steps.
type Reg struct {
	val *int32
	n   int
}

// NewReg makes a register.
func (p *Program) NewReg() *Reg {
	return p.RegAt(New(p, int32(0)))
}

// RegAt makes a register of v, which is in the Program's memory: part of a message.
func (p *Program) RegAt(v *int32) *Reg {
	p.regs++
	return &Reg{val: v, n: p.regs}
}

// NewProgram begins a program: the child unblocks the signals that the shim's
// thread had blocked for the clone.
func NewProgram() *Program {
	p := &Program{}
	p.Mark("born")
	none := New(p, uint64(0))
	p.Call("unblock signals", unix.SYS_RT_SIGPROCMASK, Int(unix.SIG_SETMASK), Mem(none, "none"), Int(0), Int(8))
	return p
}

// Close gives the Program's memory back: only its texts may be used afterwards. It
// may be called again.
func (p *Program) Close() {
	p.mem.free()
	p.ops = nil
}

// usualSteps is about what an exec takes; an init takes twice as many.
const usualSteps = 128

// Add appends a step.
func (p *Program) Add(s Step) {
	if p.steps == nil {
		p.steps = make([]Step, 0, usualSteps)
	}
	p.steps = append(p.steps, s)
}

// Call appends a step that makes system call nr and stops the child on error.
func (p *Program) Call(what string, nr uintptr, args ...Arg) {
	p.Add(Step{For: what, NR: nr, Args: args})
}

// Mark puts a label before the next step.
func (p *Program) Mark(l string) {
	p.steps = append(p.steps, Step{NR: opNop, For: l + ":"})
}

// Skip appends a step that turns the step called name into nothing.
func (p *Program) Skip(name string) {
	p.Add(Step{NR: opSet, For: "skip " + name, target: name, patch: -1, Args: []Arg{name0(name), {value: opNop, kind: named, name: "nop"}}})
}

// Patch appends a step that gives argument arg of the step called name the value
// a.
func (p *Program) Patch(name string, arg int, a Arg) {
	p.Add(Step{NR: opSet, For: "patch " + name, target: name, patch: arg, Args: []Arg{name0(name + "." + strconv.Itoa(arg)), a}})
}

// Expect appends a step that fails with errno unless *at is b.
func (p *Program) Expect(what string, at *byte, b byte, errno syscall.Errno) {
	p.Add(Step{NR: opByte, For: what, at: at, Args: []Arg{
		{kind: named, name: "buf"}, {value: uintptr(b), kind: char}, {value: uintptr(errno), kind: errnum},
	}})
}

// Unless appends a step that goes on at the label other unless *at is b in the bits
// of mask.
func (p *Program) Unless(what string, at *byte, b, mask byte, other string) {
	p.Add(Step{NR: opByte, For: what, at: at, Fail: other, Args: []Arg{
		{kind: named, name: "buf"}, {value: uintptr(b), kind: hex}, {value: uintptr(syscall.ENODEV), kind: errnum}, {value: uintptr(^mask), kind: hex},
	}})
}

// Fail appends a step that always fails with errno.
func (p *Program) Fail(what string, errno syscall.Errno) {
	p.Add(Step{NR: opFail, For: what, Args: []Arg{{value: uintptr(errno), kind: errnum}}})
}

// Len is the number of steps.
func (p *Program) Len() int { return len(p.steps) }

// What is the purpose of step i, for an error sentence.
func (p *Program) What(i int) string {
	if i < 0 || i >= len(p.steps) {
		return "step " + strconv.Itoa(i)
	}
	return p.steps[i].For
}

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
