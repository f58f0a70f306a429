// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func prlimit(l *limit)
TEXT ·prlimit(SB),NOSPLIT,$0-8
	MOVQ	$0, DI          // this process
	MOVQ	$7, SI          // RLIMIT_NOFILE
	MOVQ	$0, DX          // no new limit
	MOVQ	l+0(FP), R10
	MOVQ	$302, AX        // prlimit64
	SYSCALL
	RET
