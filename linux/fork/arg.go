// SPDX-License-Identifier: Apache-2.0

package fork

import "unsafe"

// Arg is one argument of a Step: a number or an address. What it reads as is made
// only when somebody asks for the text.
type Arg struct {
	value uintptr
	reg   *Reg
	keep  any // what value is the address of
	kind  kind
	name  string
}

type kind uint8

const (
	decimal kind = iota
	hex
	char   // a byte
	errnum // an errno
	named  // shown as name
	str    // keep is a []byte with a NUL
	strs   // keep is a *vector
)

type number interface {
	~int | ~int32 | ~uint32 | ~int64 | ~uint64 | ~uintptr
}

// Int is a number.
func Int[T number](v T) Arg { return Arg{value: uintptr(v)} }

// Hex is a number that reads best in base 16: flags.
func Hex[T number](v T) Arg { return Arg{value: uintptr(v), kind: hex} }

// FD is a file descriptor that the child inherits. Its number differs from run
// to run, so the text shows only its name.
func FD(fd uintptr, name string) Arg {
	return Arg{value: fd, kind: named, name: "<" + name + ">"}
}

// Ref is what a register holds.
func Ref(r *Reg) Arg { return Arg{reg: r} }

// Str is the address of s with a NUL behind it.
func Str(s string) Arg {
	b := cstring(s)
	return Arg{value: uintptr(unsafe.Pointer(&b[0])), keep: b, kind: str}
}

func cstring(s string) []byte {
	b := make([]byte, len(s)+1)
	copy(b, s)
	return b
}

// Named is a with another text: for what differs from run to run.
func (a Arg) Named(text string) Arg {
	a.kind, a.name = named, text
	return a
}

// name0 is an argument that is only text: the Name of another step.
func name0(name string) Arg { return Arg{kind: named, name: name} }

// Mem is the address of v, which stays reachable while the Program does.
func Mem[T any](v *T, text string) Arg {
	return Arg{value: uintptr(unsafe.Pointer(v)), keep: v, kind: named, name: text}
}

// vector is a NULL-ended array of pointers to strings.
type vector struct {
	ptrs []*byte
	text []string
}

// Strs is the address of an array of the strings as execve(2) takes it. Where slot
// is not negative, element slot points to text instead.
func Strs(ss []string, slot int, text *byte) Arg {
	v := &vector{ptrs: make([]*byte, len(ss)+1), text: ss}
	for i, s := range ss {
		v.ptrs[i] = &cstring(s)[0]
	}
	if slot >= 0 {
		v.ptrs[slot] = text
	}
	return Arg{value: uintptr(unsafe.Pointer(&v.ptrs[0])), keep: v, kind: strs}
}
