// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func rawClone(args *cloneArgs, size uintptr, entry uintptr, birth *birth) (pid, errno uintptr)
//
// The child begins on the stack that args names. It must not use the parent's,
// which is Go's and not there in the child, nor return. The kernel keeps R12 and
// R13 (syscall(2)). entry is a Go function of one pointer, called by Go's
// register ABI: its argument is in AX, X15 is zero, R14 would be g, and above the
// return address is room for the argument.
TEXT ·rawClone(SB), NOSPLIT|NOFRAME, $0-48
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	MOVQ	entry+16(FP), R12
	MOVQ	birth+24(FP), R13
	MOVQ	$435, AX // clone3
	SYSCALL
	TESTQ	AX, AX
	JEQ	born
	CMPQ	AX, $0xfffffffffffff001
	JLS	made
	NEGQ	AX
	MOVQ	$0, pid+32(FP)
	MOVQ	AX, errno+40(FP)
	RET

made:
	MOVQ	AX, pid+32(FP)
	MOVQ	$0, errno+40(FP)
	RET

born:
	XORL	BP, BP
	XORL	R14, R14
	XORPS	X15, X15
	ANDQ	$~15, SP
	SUBQ	$64, SP
	MOVQ	R13, AX
	CALL	R12
	INT	$3
