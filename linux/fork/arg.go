// SPDX-License-Identifier: Apache-2.0

package fork

import "unsafe"

// Arg is one argument of a Step: a number or an address. What it reads as is made
// only when somebody asks for the text.
type Arg struct {
	value uintptr
	reg   *Reg
	name  string  // what to show, or the string
	vec   *vector // of kind strs
	kind  kind
	mem   bool // value is an address in the Program's memory
	alias bool // a string that is shown as `<...>`, since it differs from run to run
}

// vector is an array of strings.
type vector struct {
	strs []string
	slot int   // element that is text instead, or -1
	text *byte // in the Program's memory
}

type kind uint8

const (
	decimal kind = iota
	hex
	char   // a byte
	errnum // an errno
	oflags // of open(2), shown by name, as their numbers differ by architecture
	named  // shown as name
	str    // the address of a string
	strs   // the address of an array of strings
)

type number interface {
	~int | ~int32 | ~uint32 | ~int64 | ~uint64 | ~uintptr
}

// Int is a number.
func Int[T number](v T) Arg { return Arg{value: uintptr(v)} }

// Hex is a number that reads best in base 16: flags.
func Hex[T number](v T) Arg { return Arg{value: uintptr(v), kind: hex} }

// Open is flags of open(2).
func Open(flags int) Arg { return Arg{value: uintptr(flags), kind: oflags} }

// FD is a file descriptor that the child inherits. Its number differs from run
// to run, so the text shows only its name.
func FD(fd uintptr, name string) Arg {
	return Arg{value: fd, kind: named, name: "<" + name + ">"}
}

// Ref is what a register holds.
func Ref(r *Reg) Arg { return Arg{reg: r} }

// Str is the address of s with a NUL behind it.
func Str(s string) Arg { return Arg{kind: str, name: s} }

// Varying is the string of a, shown as `<...>`: it differs from run to run.
func (a Arg) Varying() Arg {
	a.alias = true
	return a
}

// name0 is an argument that is only text: the Name of another step.
func name0(name string) Arg { return Arg{kind: named, name: name} }

// Mem is the address of v, which New or NewSlice made.
func Mem[T any](v *T, text string) Arg {
	return Arg{value: address(v), mem: true, kind: named, name: text}
}

// MemSlice is the address of the first element of v, which NewSlice made.
func MemSlice[T any](v []T, text string) Arg { return Mem(unsafe.SliceData(v), text) }

// Strs is the address of an array of the strings as execve(2) takes it. Where slot
// is not negative, element slot points to text, in the Program's memory, instead.
func Strs(ss []string, slot int, text *byte) Arg {
	return Arg{kind: strs, vec: &vector{ss, slot, text}}
}
