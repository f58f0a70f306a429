// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"fmt"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Program is what a child will do: a flat list of steps, and the memory they
// read and write. It is built once and used for one child.
type Program struct {
	steps []Step
	ops   []op
	keep  []any // everything an op has the address of
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
}

// Steps that are no system call.
const (
	OpNop  = opNop  // nothing: a place to jump from
	OpFail = opFail // fails with errno Args[0]
)

// Reg holds a result, such as a file descriptor, for later steps.
type Reg struct {
	val  *int32
	name string
}

// Arg is one argument of a Step.
type Arg struct {
	value uintptr
	reg   *Reg
	keep  any
	text  string
}

// Label is a place in a Program that a Step can go on at.
type Label string

// NewReg makes a register.
func (p *Program) NewReg() *Reg {
	return p.RegAt(new(int32))
}

// RegAt makes a register of v, a piece of memory that the child shares with a
// message.
func (p *Program) RegAt(v *int32) *Reg {
	p.keep = append(p.keep, v)
	p.regs++
	return &Reg{val: v, name: fmt.Sprintf("r%d", p.regs)}
}

// Add appends a step.
func (p *Program) Add(s Step) {
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
	p.Add(Step{NR: opSet, For: "skip " + name, target: name, patch: -1, Args: []Arg{{text: name}, {value: opNop, text: "nop"}}})
}

// Patch appends a step that gives argument arg of the step called name the value
// a.
func (p *Program) Patch(name string, arg int, a Arg) {
	p.Add(Step{NR: opSet, For: fmt.Sprintf("patch %s", name), target: name, patch: arg, Args: []Arg{{text: fmt.Sprintf("%s.%d", name, arg)}, a}})
}

// Expect appends a step that fails with errno unless *at is b.
func (p *Program) Expect(what string, at *byte, b byte, errno syscall.Errno) {
	p.Add(Step{NR: opByte, For: what, Args: []Arg{
		{keep: at, text: "buf"}, {value: uintptr(b), text: fmt.Sprintf("%q", b)}, {value: uintptr(errno), text: unix.ErrnoName(errno)},
	}})
}

// Fail appends a step that always fails with errno.
func (p *Program) Fail(what string, errno syscall.Errno) {
	p.Add(Step{NR: opFail, For: what, Args: []Arg{{value: uintptr(errno), text: unix.ErrnoName(errno)}}})
}

// What is the purpose of step i, for an error sentence.
func (p *Program) What(i int) string {
	if i < 0 || i >= len(p.steps) {
		return fmt.Sprintf("step %d", i)
	}
	return p.steps[i].For
}

// Int is a number.
func Int[T ~int | ~int32 | ~uint32 | ~int64 | ~uint64 | ~uintptr](v T) Arg {
	return Arg{value: uintptr(v), text: fmt.Sprint(v)}
}

// Hex is a number that reads best in base 16: flags.
func Hex[T ~int | ~int32 | ~uint32 | ~int64 | ~uint64 | ~uintptr](v T) Arg {
	return Arg{value: uintptr(v), text: fmt.Sprintf("%#x", uint64(v))}
}

// FD is a file descriptor that the child inherits. Its number differs from run
// to run, so the text shows only its name.
func FD(fd uintptr, name string) Arg { return Arg{value: fd, text: "<" + name + ">"} }

// Ref is what a register holds.
func Ref(r *Reg) Arg { return Arg{reg: r, text: r.name} }

// Str is the address of s with a NUL behind it.
func Str(s string) Arg {
	b := append([]byte(s), 0)
	return Arg{value: uintptr(unsafe.Pointer(&b[0])), keep: b, text: fmt.Sprintf("%q", s)}
}

// Named is a with another text: for what differs from run to run.
func (a Arg) Named(text string) Arg {
	a.text = text
	return a
}

// Mem is the address of v, which stays reachable while the Program does.
func Mem[T any](v *T, text string) Arg {
	return Arg{value: uintptr(unsafe.Pointer(v)), keep: v, text: text}
}

// Strs is the address of a NULL-ended array of pointers to the strings, as
// execve(2) takes it. Where slot is not negative, element slot points to text.
func Strs(ss []string, slot int, text *byte) Arg {
	ptrs := make([]*byte, len(ss)+1)
	for i, s := range ss {
		b := append([]byte(s), 0)
		ptrs[i] = &b[0]
	}
	if slot >= 0 {
		ptrs[slot] = text
	}
	return Arg{value: uintptr(unsafe.Pointer(&ptrs[0])), keep: ptrs, text: fmt.Sprintf("%q", ss)}
}

// compile turns the steps into what the child reads.
func (p *Program) compile() *op {
	p.ops = make([]op, len(p.steps))
	for i := range p.steps {
		p.ops[i] = p.op(&p.steps[i])
	}
	return &p.ops[0]
}

func (p *Program) op(s *Step) op {
	o := op{nr: s.NR, want: s.Want, check: s.Check, ok: p.find(s.OK), pos: p.find(s.Positive), fail: p.find(s.Fail)}
	if s.Out != nil {
		o.out = s.Out.val
	}
	for i, a := range s.Args {
		o.args[i] = a.value
		p.keep = append(p.keep, a.keep)
		if a.reg != nil {
			o.regs[i] = a.reg.val
		}
	}
	switch s.NR {
	case opSet:
		o.mem = p.target(s)
	case opByte:
		o.char = s.Args[0].keep.(*byte)
	}
	return o
}

// target is the number that an opSet step writes.
func (p *Program) target(set *Step) *uintptr {
	for i := range p.steps {
		switch {
		case p.steps[i].Name != set.target:
		case set.patch < 0:
			return &p.ops[i].nr
		default:
			return &p.ops[i].args[set.patch]
		}
	}
	panic("fork: no step " + set.target)
}

// find is the index of a label's step. Index 0 means "none" to the child, so a
// program never goes back to its first step.
func (p *Program) find(label string) int32 {
	if label == "" {
		return 0
	}
	for i := range p.steps {
		if p.steps[i].NR == opNop && p.steps[i].For == label+":" {
			return int32(i)
		}
	}
	panic("fork: no label " + label)
}

// Dump prints the program, one step a line: the order of a container's making
// as text, for golden files.
func (p *Program) Dump() string {
	var b strings.Builder
	for i := range p.steps {
		p.steps[i].dump(&b)
	}
	return b.String()
}

func (s *Step) dump(b *strings.Builder) {
	if s.NR == opNop && s.OK == "" {
		fmt.Fprintln(b, s.For)
		return
	}
	args := make([]string, len(s.Args))
	for i, a := range s.Args {
		args[i] = a.text
	}
	b.WriteString("\t")
	if s.Out != nil {
		fmt.Fprintf(b, "%s = ", s.Out.name)
	}
	fmt.Fprintf(b, "%s(%s)", name(s.NR), strings.Join(args, ", "))
	for _, j := range []struct{ when, to string }{{"ok", s.OK}, {">0", s.Positive}, {"error", s.Fail}} {
		if j.to != "" {
			fmt.Fprintf(b, " %s->%s", j.when, j.to)
		}
	}
	fmt.Fprintf(b, "\t# %s\n", s.For)
}
