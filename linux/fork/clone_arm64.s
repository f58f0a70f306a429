// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func rawClone(args *cloneArgs, size uintptr, entry uintptr, birth *birth) (pid, errno uintptr)
//
// The child begins on the stack that args names. It must not use the parent's,
// which is Go's and not there in the child, nor return. The kernel keeps every
// register but R0 (syscall(2)). entry is a Go function of one pointer, called by
// Go's register ABI: its argument is in R0, and above the return address is room
// for it.
TEXT ·rawClone(SB), NOSPLIT|NOFRAME, $0-48
	MOVD	args+0(FP), R0
	MOVD	size+8(FP), R1
	MOVD	entry+16(FP), R19
	MOVD	birth+24(FP), R20
	MOVD	$435, R8 // clone3
	SVC
	CBZ	R0, born
	CMN	$4095, R0
	BCC	made
	NEG	R0, R0
	MOVD	ZR, pid+32(FP)
	MOVD	R0, errno+40(FP)
	RET

made:
	MOVD	R0, pid+32(FP)
	MOVD	ZR, errno+40(FP)
	RET

born:
	MOVD	ZR, R29
	SUB	$64, RSP
	MOVD	R20, R0
	CALL	(R19)
	BRK
