// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv/bpfvm"
	"github.com/containerd-mini/mini/linux/seccomp"
)

type data = bpfvm.Data

func run(t testing.TB, program []unix.SockFilter, d data) uint32 {
	t.Helper()
	ret, _, err := bpfvm.Run(program, d)
	if err != nil {
		t.Fatalf("%+v: %v", d, err)
	}
	return ret
}

// audits are the architectures of calls to ask about: those of each machine, and
// one that neither has.
var audits = map[string][]uint32{
	"amd64": {unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_S390X},
	"arm64": {unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_I386},
}

// numbersOf are those worth asking about: of each call that the section names on
// each architecture, their neighbours, and the borders.
func numbersOf(s *specs.LinuxSeccomp) []uint32 {
	seen := map[uint32]bool{}
	var out []uint32
	add := func(n uint32) {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	for _, n := range []uint32{0, 1, 102, 117, 0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000, 0x80000005, 0xbfffffff, 0xc0000000, 0xfffffffe, 0xffffffff} {
		add(n)
	}
	for i := range s.Syscalls {
		for _, name := range s.Syscalls[i].Names {
			for _, a := range scmpArchs {
				if nr, err := libseccomp.GetSyscallFromNameByArch(name, a); err == nil && nr >= 0 {
					add(uint32(nr))
					add(uint32(nr) + 1)
					add(uint32(nr) - 1)
				}
			}
		}
	}
	return out
}

// valuesOf are argument values near those of the section's conditions.
func valuesOf(s *specs.LinuxSeccomp) []uint64 {
	out := []uint64{0, 1, 2, ^uint64(0), 1 << 32, 1<<32 + 1}
	for i := range s.Syscalls {
		for _, a := range s.Syscalls[i].Args {
			for _, v := range []uint64{a.Value, a.ValueTwo, a.Value & a.ValueTwo, a.Value | a.ValueTwo} {
				out = append(out, v, v+1, v-1, v^1<<32, v+1<<32, v-1<<32, v&0xffffffff, ^v)
			}
		}
	}
	return out
}

// tally is what a comparison saw.
type tally struct {
	asked int
	wrong int // libseccomp's answers that are none of the section's own
}

// calls yields calls to ask about: each number with each architecture, perNumber
// times.
func calls(s *specs.LinuxSeccomp, goarch string, perNumber int, rnd *rand.Rand) iter.Seq[data] {
	values, numbers := valuesOf(s), numbersOf(s)
	return func(yield func(data) bool) {
		for _, arch := range audits[goarch] {
			for _, nr := range numbers {
				for i := range perNumber {
					d := data{Nr: nr, Arch: arch, IP: rnd.Uint64()}
					for j := range d.Args {
						if i > 0 {
							d.Args[j] = values[rnd.IntN(len(values))]
						}
					}
					if !yield(d) {
						return
					}
				}
			}
		}
	}
}

// compare asks mini's program, libseccomp's, and the section itself about calls.
// Mini's answer must be the section's. Where libseccomp's is not, it is counted.
func compare(t testing.TB, s *specs.LinuxSeccomp, f *seccomp.Filter, o *oracle, goarch string, perNumber int, rnd *rand.Rand, sum *tally) (difference string) {
	t.Helper()
	for d := range calls(s, goarch, perNumber, rnd) {
		sum.asked++
		got, want := run(t, f.Program, d), o.verdict(t, d)
		if got == want && sum.asked%16 != 0 {
			continue // to read the section takes long
		}
		meant := bpfvm.Meaning(s, goarch, resolve, d)
		switch {
		case got == want && slices.Contains(meant, got):
		case !slices.Contains(meant, got), slices.Contains(meant, want), conditional(s, d) < 2:
			return fmt.Sprintf("arch %#x call %#x args %#x: mini %#x, libseccomp %#x, the section %#x", d.Arch, d.Nr, d.Args, got, want, meant)
		default:
			sum.wrong++ // where it merges rules of one call
		}
	}
	return ""
}

// conditional is how many conditional rules there are for a call, at most.
func conditional(s *specs.LinuxSeccomp, d data) (n int) {
	for i := range s.Syscalls {
		for _, name := range s.Syscalls[i].Names {
			for a := range scmpArchs {
				if nr, through, _ := resolve(name, a); nr == int64(d.Nr) || through != "" {
					n += len(s.Syscalls[i].Args)
				}
			}
		}
	}
	return n
}
