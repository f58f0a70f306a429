// SPDX-License-Identifier: Apache-2.0

// Package fork clones a child of the shim and has it run a prepared list of
// system calls that ends in execve(2).
//
// There is no second program between the shim and the container's command: the
// child is a copy of the shim's memory in which the Go runtime no longer works.
// So everything it will do is decided, and everything it will read is laid out
// in memory, before the clone:
//
//	Program.Call(...) ...   one Step per system call, as text and as an op
//	Start                   clone3, then the child runs ops[0], ops[1], ...
//	  child -> parent       one-byte messages and fds, over a socket pair
//	  failure               {step, errno} on the same socket; then exit
//	  success               execve closes the socket: the parent reads EOF
//
// # Rules for the child (child.go)
//
// After the fork there is one thread and no runtime: no allocation, lock, map,
// channel, defer, closure, panic, interface or string conversion, no pointer
// store, no append. runtime_BeforeFork spoils the stack guard, so a function
// with a stack check throws; everything the child calls is //go:nosplit or
// assembly, and the linker's limit on a chain of such functions checks it. All
// signals stay blocked until the default handlers are back
// (runtime_AfterForkInChild).
//
// The child may write the memory of its own copy (CLONE_VM is never used): file
// descriptors that calls return are kept in registers, which are int32s on the
// heap. Go's heap does not move; Program keeps every piece reachable.
//
// It decides nothing: a step that fails ends it, unless the plan says beforehand
// where to go on. There is one exit point.
//
// # Ownership
//
// Start returns the child's pidfd and the parent's end of the socket; the caller
// closes both and waits for the child.
//
// The three runtime hooks are reached by linkname; they are on the Go team's
// list of symbols that stay (gVisor uses them, runtime/proc.go).
//
// Kernel: clone3 with CLONE_PIDFD and CLONE_INTO_CGROUP, Linux 5.7.
package fork
