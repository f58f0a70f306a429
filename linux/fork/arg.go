// SPDX-License-Identifier: Apache-2.0

package fork

import "unsafe"

// Arg is one argument of a Step: a number or an address. Its text is made only when
// somebody asks for it.
type Arg struct {
	value uintptr
	reg   *Reg
	name  string  // what to show, or the string
	vec   *vector // of kind strs
	kind  kind
	mem   bool // value is an address in the Program's memory
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

// Int returns a number.
func Int[T number](v T) Arg { return Arg{value: uintptr(v)} }

// Hex returns a number that Dump shows in base 16, such as flags.
func Hex[T number](v T) Arg { return Arg{value: uintptr(v), kind: hex} }

// Open returns flags of open(2).
func Open(flags int) Arg { return Arg{value: uintptr(flags), kind: oflags} }

// FD returns a file descriptor that the child inherits. Its number differs from run
// to run, so the text shows only its name.
func FD(fd uintptr, name string) Arg {
	return Arg{value: fd, kind: named, name: "<" + name + ">"}
}

// Ref returns the contents of a register.
func Ref(r *Reg) Arg { return Arg{reg: r} }

// Str returns the address of s with a NUL behind it.
func Str(s string) Arg { return Arg{kind: str, name: s} }

// name0 returns an argument that is only text: the Name of another step.
func name0(name string) Arg { return Arg{kind: named, name: name} }

// Mem returns the address of v, which New or NewSlice made.
func Mem[T any](v *T, text string) Arg {
	return Arg{value: address(v), mem: true, kind: named, name: text}
}

// MemSlice returns the address of the first element of v, which NewSlice made.
func MemSlice[T any](v []T, text string) Arg { return Mem(unsafe.SliceData(v), text) }

// Strs returns the address of an array of the strings as execve(2) takes it. If slot
// is not negative, element slot points to text in the Program's memory instead.
func Strs(ss []string, slot int, text *byte) Arg {
	return Arg{kind: strs, vec: &vector{ss, slot, text}}
}

// address returns a pointer as a number.
func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }
