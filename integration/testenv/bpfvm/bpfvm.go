// SPDX-License-Identifier: Apache-2.0

// Package bpfvm runs classic BPF programs as seccomp(2) has them: on the fields of
// struct seccomp_data, in the machine's byte order (golang.org/x/net/bpf reads packets, in
// the network's).
package bpfvm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Data is struct seccomp_data (linux/seccomp.h).
type Data struct {
	Nr   uint32
	Arch uint32
	IP   uint64
	Args [6]uint64
}

// word is the 32-bit word at an offset, on a little-endian machine.
func (d *Data) word(offset uint32) (uint32, error) {
	switch {
	case offset%4 != 0 || offset >= 64:
		return 0, fmt.Errorf("load at %d", offset)
	case offset == 0:
		return d.Nr, nil
	case offset == 4:
		return d.Arch, nil
	}
	value := d.IP
	if offset >= 16 {
		value = d.Args[(offset-16)/8]
	}
	return uint32(value >> (offset % 8 * 8)), nil
}

// Run returns what the program returns, and how many instructions it took.
func Run(program []unix.SockFilter, d Data) (ret uint32, steps int, err error) {
	var acc uint32
	for pc := 0; pc < len(program); pc++ {
		in := program[pc]
		steps++
		jump := func(yes bool) {
			if yes {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if acc, err = d.word(in.K); err != nil {
				return 0, steps, err
			}
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(acc == in.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			jump(acc > in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(acc >= in.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(acc&in.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return in.K, steps, nil
		default:
			return 0, steps, fmt.Errorf("instruction %d: %+v", pc, in)
		}
	}
	return 0, steps, fmt.Errorf("no return")
}
