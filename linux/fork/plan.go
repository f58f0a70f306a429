// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is what a child will do: a flat list of steps, and the memory they
// read and write. It is built once and used for one child, or for a second one if
// the first was Stillborn.
//
// Its memory is outside Go's heap. Close frees it.
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

// OpNop is the NR of a step that does nothing: a place to jump from.
const OpNop = opNop

// Reg holds a result, such as a file descriptor, for later steps.
type Reg struct {
	val *int32
	n   int
}

// NewReg makes a register.
func (p *Program) NewReg() *Reg {
	return p.RegAt(New(p, int32(0)))
}

// RegAt makes a register of v, which must be in the Program's memory, such as a part of a
// message.
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

// Close frees the Program's memory. Only its texts may be used afterwards. It may be called
// again.
func (p *Program) Close() {
	p.mem.free()
	p.ops = nil
}

// usualSteps is about the number of steps of an exec. An init takes twice as many.
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
	p.Add(Step{
		NR:     opSet,
		For:    "skip " + name,
		Args:   []Arg{name0(name), {value: opNop, kind: named, name: "nop"}},
		target: name,
		patch:  -1,
	})
}

// Patch appends a step that gives argument arg of the step called name the value
// a.
func (p *Program) Patch(name string, arg int, a Arg) {
	p.Add(Step{
		NR:     opSet,
		For:    "patch " + name,
		Args:   []Arg{name0(name + "." + strconv.Itoa(arg)), a},
		target: name,
		patch:  arg,
	})
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
		{kind: named, name: "buf"},
		{value: uintptr(b), kind: hex},
		{value: uintptr(syscall.ENODEV), kind: errnum},
		{value: uintptr(^mask), kind: hex},
	}})
}

// Fail appends a step that always fails with errno.
func (p *Program) Fail(what string, errno syscall.Errno) {
	p.Add(Step{NR: opFail, For: what, Args: []Arg{{value: uintptr(errno), kind: errnum}}})
}

// Len returns the number of steps.
//
// Exported for tests: package linux bounds the length of its programs.
func (p *Program) Len() int { return len(p.steps) }

// what returns the purpose of step i, for an error sentence.
func (p *Program) what(i int) string {
	if i < 0 || i >= len(p.steps) {
		return "step " + strconv.Itoa(i)
	}
	return p.steps[i].For
}
