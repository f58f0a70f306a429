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
// After the clone there is one thread, no Go runtime, and of the shim's memory
// only the program's own text and the Program (arena.go, hide.go): no heap, no
// goroutine, no g. So no allocation, lock, map, channel, defer, closure, panic,
// interface or string conversion, no stack check; everything the child calls is
// //go:nosplit or assembly, and the linker's limit on a chain of such functions
// checks it. Its signal handlers are the default ones from birth
// (CLONE_CLEAR_SIGHAND).
//
// Why the memory is hidden: a fork of the whole shim costs most of an exec. With
// a heap of 4 MB, on Linux 6.18 in a VM, create + exec + exit + reap of an exec
// took 1.9 ms with everything copied and 1.1 ms so (medians, interleaved), as
// neither page tables are copied nor copies made at page faults on both sides.
// And a child cannot leak what it does not have: the specs of the pod's other
// containers. Of the Programs that are there at the time it gets its own alone.
//
// The child may write its own copy (CLONE_VM is never used): file descriptors
// that calls return are kept in registers, which are int32s in the Program.
//
// It decides nothing: a step that fails ends it, unless the plan says beforehand
// where to go on. There is one exit point.
//
// # Cgroups in which children die at birth
//
// A child is cloned into its cgroup. Right afterwards Child.Stillborn reports, with one
// system call, whether the kernel has killed it there because of an earlier use of
// cgroup.kill. If so, StartOutside clones another child, which is moved into the cgroup
// before its first step. The dead child has done nothing, so nothing is done twice. The
// failure is not remembered: a clone may succeed with another cgroup of the shim or of
// the child.
//
// # Ownership
//
// Pair makes the socket and Start returns the child's pidfd; the caller closes
// them and waits for the child. Program.Close gives the Program's memory back.
//
// The two runtime hooks, which keep signals and stack growth away from the clone,
// are reached by linkname; they are on the Go team's list of symbols that stay
// (gVisor uses them, runtime/proc.go).
//
// Kernel: clone3 with CLONE_PIDFD, CLONE_CLEAR_SIGHAND and CLONE_INTO_CGROUP, Linux
// 5.7.
package fork
