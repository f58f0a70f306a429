// SPDX-License-Identifier: Apache-2.0

// Package nofile remembers the limit on open files that the process was started
// with.
//
// The syscall package raises the soft limit to the hard one when it is
// initialised, and puts it back only in children of os/exec
// (syscall/rlimit.go). A container without a RLIMIT_NOFILE of its own must
// get the original: programs that use select(2) or close every descriptor break
// with a large one. Go initialises packages in the order of their import paths
// as soon as what they import is initialised (go.dev/ref/spec, "Program
// initialization"); this one imports nothing, so it comes before "syscall". A
// test compares its answer with the limit that a parent set.
package nofile

// Limit is the soft and hard limit at the start of the process.
var Limit = get()

// limit is struct rlimit64.
type limit struct{ Cur, Max uint64 }

// get is prlimit(0, RLIMIT_NOFILE), in assembly as nothing else is there yet.
// On an error, which the kernel does not return for these arguments, it is
// {0, 0}.
func get() (l limit) {
	prlimit(&l)
	return l
}

//go:noescape
func prlimit(l *limit)
