// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The rules for this file are in doc.go: one thread, no runtime, no heap.

// op is a step as the child reads it: numbers and addresses only.
type op struct {
	nr   uintptr
	args [6]uintptr
	regs [6]*int32 // where not nil, the argument is taken from there
	out  *int32    // takes the result, or nil
	mem  *uintptr  // opSet: what is written
	char *byte     // opByte: what is read
	want uintptr   // the only accepted result, where check is set

	ok    int32 // where to go on after success; 0: the next op
	pos   int32 // where to go on after a result above 0; 0: as ok
	fail  int32 // where to go on after an error; 0: report it and exit
	check bool
}

// Pseudo system calls, executed by the loop itself.
const (
	opNop  = ^uintptr(iota) // nothing
	opSet                   // *mem = args[1]
	opByte                  // fails with args[2] unless *char == args[1]; the bits of args[3] do not matter
	opFail                  // fails with errno args[0]
)

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

// cloneArgs is struct clone_args of clone3(2), as of Linux 5.7.
type cloneArgs struct {
	Flags, Pidfd, ChildTid, ParentTid, ExitSignal uint64
	Stack, StackSize, TLS, SetTid, SetTidSize     uint64
	Cgroup                                        uint64
}

// rawClone is clone3(2); the child runs the function at entry, with birth, on the
// stack that args names.
//
//go:noescape
func rawClone(args *cloneArgs, size uintptr, entry uintptr, birth *birth) (pid, errno uintptr)

// birth holds what a child needs to start. It is in the Program's memory.
type birth struct {
	ops    *op
	first  int32 // where to begin
	report int32 // the socket
}

// entry is the address of child's code: what a func value points to.
func entry() uintptr {
	f := child
	return **(**uintptr)(unsafe.Pointer(&f))
}

// clone makes the child and returns its pid.
//
// Precondition: the caller holds syscall.ForkLock and has locked its thread.
//
//go:noinline
//go:norace
func clone(args *cloneArgs, entry uintptr, b *birth) (uintptr, syscall.Errno) {
	// Blocks all signals, so that the call is not interrupted over and over; the
	// child unblocks them in its first step.
	runtimeBeforeFork()
	pid, errno := rawClone(args, unsafe.Sizeof(*args), entry, b)
	runtimeAfterFork()
	return pid, syscall.Errno(errno)
}

// child runs its ops until one of them is an execve that succeeds, or an exit.
//
//go:norace
//go:nosplit
//go:nocheckptr
func child(b *birth) {
	var (
		at     int32
		o      *op
		r      uintptr
		errno  syscall.Errno
		failed [2]int32
	)
	for at = b.first; ; {
		o = (*op)(unsafe.Add(unsafe.Pointer(b.ops), uintptr(at)*unsafe.Sizeof(op{})))
		r, errno = do(o)
		if errno == syscall.EINTR {
			continue
		}
		if errno == 0 && o.check && r != o.want {
			// The parent closed its end of the socket, or sent something else.
			errno = syscall.EPIPE
		}
		switch {
		case errno != 0 && o.fail == 0:
			failed[0], failed[1] = at, int32(errno)
			report(b.report, unsafe.Pointer(&failed), unsafe.Sizeof(failed))
		case errno != 0:
			at = o.fail
			continue
		}
		if o.out != nil {
			*o.out = int32(r)
		}
		switch {
		case o.pos != 0 && r > 0:
			at = o.pos
		case o.ok != 0:
			at = o.ok
		default:
			at++
		}
	}
}

// report sends a failure to the parent and ends. A seccomp filter may forbid any of
// these calls, so each has an alternative. No filter can prevent the last one.
//
//go:norace
//go:nosplit
//go:nocheckptr
func report(socket int32, msg unsafe.Pointer, size uintptr) {
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(socket), uintptr(msg), size, unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		_, _, _ = syscall.RawSyscall6(unix.SYS_WRITE, uintptr(socket), uintptr(msg), size, 0, 0, 0)
	}
	_, _, _ = syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0)
	_, _, _ = syscall.RawSyscall6(unix.SYS_EXIT, 127, 0, 0, 0, 0, 0)
	var nowhere *int32
	for {
		*nowhere = 0 // SIGSEGV, whose handler is the default one
	}
}

// do executes one op.
//
//go:norace
//go:nosplit
//go:nocheckptr
func do(o *op) (uintptr, syscall.Errno) {
	switch o.nr {
	case opNop:
		return 0, 0
	case opSet:
		*o.mem = o.args[1]
		return 0, 0
	case opByte:
		if (*o.char^byte(o.args[1]))&^byte(o.args[3]) != 0 {
			return 0, syscall.Errno(o.args[2])
		}
		return 0, 0
	case opFail:
		return 0, syscall.Errno(o.args[0])
	}
	r, _, errno := syscall.RawSyscall6(o.nr,
		arg(o, 0), arg(o, 1), arg(o, 2), arg(o, 3), arg(o, 4), arg(o, 5))
	return r, errno
}

// arg is argument i of o: its value, or what its register holds.
//
//go:norace
//go:nosplit
//go:nocheckptr
func arg(o *op, i uintptr) uintptr {
	reg := *(**int32)(unsafe.Add(unsafe.Pointer(&o.regs), i*unsafe.Sizeof(o.regs[0])))
	if reg != nil {
		return uintptr(*reg)
	}
	return *(*uintptr)(unsafe.Add(unsafe.Pointer(&o.args), i*unsafe.Sizeof(o.args[0])))
}
