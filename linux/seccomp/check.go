// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// check looks for what the kernel would refuse: an instruction that seccomp(2) does not
// have, a load outside struct seccomp_data, a jump out of the program, a last instruction
// that is no return. Jumps only lead forwards, so every path of a program that passes ends
// in a return. An error is a bug of this package.
func check(program []unix.SockFilter) error {
	n := len(program)
	if n == 0 || n > maxProgram {
		return fmt.Errorf("seccomp program: %d instructions", n)
	}
	for i, in := range program {
		last := n - 1 - i // the longest jump
		ok := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			ok = in.K%4 == 0 && in.K < offArgs+6*8 && last > 0
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			ok = last > 0
		case unix.BPF_JMP | unix.BPF_JA:
			ok = int64(in.K) < int64(last)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K,
			unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			ok = int(in.Jt) < last && int(in.Jf) < last
		case unix.BPF_RET | unix.BPF_K:
			ok = true
		}
		if !ok {
			return fmt.Errorf("seccomp program: instruction %d of %d: %+v", i, n, in)
		}
	}
	return nil
}
