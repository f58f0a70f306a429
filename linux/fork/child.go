// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The rules for this file are in doc.go: one thread, no runtime.

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
	opByte                  // fails with args[2] unless *char == args[1]
	opFail                  // fails with errno args[0]
)

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

//go:linkname runtimeAfterForkInChild syscall.runtime_AfterForkInChild
func runtimeAfterForkInChild()

// clone makes the child and returns its pid in the parent. In the child it does
// not return.
//
// Precondition: the caller holds syscall.ForkLock and has locked its thread.
//
//go:noinline
//go:norace
//go:nocheckptr
func clone(args *CloneArgs, ops *op, report int32) (uintptr, syscall.Errno) {
	// No allocation and no call of a function with a stack check from here on.
	runtimeBeforeFork()
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		runtimeAfterFork()
		return pid, errno
	}
	runtimeAfterForkInChild()
	child(ops, report)
	return 0, 0
}

// child runs ops until one of them is an execve that succeeds, or an exit.
//
//go:norace
//go:nosplit
//go:nocheckptr
func child(ops *op, report int32) {
	var (
		at     int32
		o      *op
		r      uintptr
		errno  syscall.Errno
		failed [2]int32
	)
	for {
		o = (*op)(unsafe.Add(unsafe.Pointer(ops), uintptr(at)*unsafe.Sizeof(op{})))
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
			_, _, _ = syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(report), uintptr(unsafe.Pointer(&failed)), unsafe.Sizeof(failed), unix.MSG_NOSIGNAL, 0, 0)
			for {
				_, _, _ = syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0)
			}
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
		if *o.char != byte(o.args[1]) {
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
