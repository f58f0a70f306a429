// SPDX-License-Identifier: Apache-2.0

package bpfvm

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Resolver finds the number of a call on an architecture, or, where the call is
// made through socketcall(2) or ipc(2) too, that and the number of the sub-call. A number is
// -1 where there is none.
type Resolver func(name string, arch specs.Arch) (nr int64, through string, sub uint64)

// Meaning is what a section says about a call, read rule by rule and without any
// cleverness: the verdicts of the rules that hold, of which a program has to give
// one. They are several only where conditional rules of different actions overlap.
func Meaning(s *specs.LinuxSeccomp, goarch string, resolve Resolver, d Data) []uint32 {
	arch, wide, listed := archOf(s, goarch, d)
	def := ret(s.DefaultAction, s.DefaultErrnoRet)
	newer := func(arch specs.Arch) bool { return above(s, arch, resolve, d.Nr) }
	enosys := []uint32{unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	switch {
	case listed && newer(arch):
		return enosys
	case listed:
		return rules(s, arch, wide, resolve, d, def)
	case arch == specs.ArchX32 && d.Nr == 0xffffffff:
		return []uint32{def}
	case arch == specs.ArchX32 && d.Nr&0x40000000 == 0 && newer(specs.ArchX86_64): // 0x80000000 and more
		return enosys
	}
	return []uint32{unix.SECCOMP_RET_KILL_THREAD}
}

// rules is what the rules of a call say.
func rules(s *specs.LinuxSeccomp, arch specs.Arch, wide bool, resolve Resolver, d Data, def uint32) (out []uint32) {
	for i := range s.Syscalls {
		e := &s.Syscalls[i]
		r := ret(e.Action, e.ErrnoRet)
		if r == def {
			continue
		}
		for _, name := range e.Names {
			nr, through, sub := resolve(name, arch)
			if nr == int64(d.Nr) {
				switch holds, always := check(e.Args, wide, d, false); {
				case always:
					return []uint32{r}
				case holds:
					out = append(out, r)
				}
			}
			if through == "" {
				continue
			}
			if by, _, _ := resolve(through, arch); by == int64(d.Nr) && uint32(d.Args[0]) == uint32(sub) {
				if holds, _ := check(e.Args, wide, d, true); holds {
					out = append(out, r)
				}
			}
		}
	}
	if len(out) == 0 {
		out = []uint32{def}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// archOf is the architecture of a call. What is of x32 by its number alone, and
// not by the bit, is the kernel's x86_64.
func archOf(s *specs.LinuxSeccomp, goarch string, d Data) (arch specs.Arch, wide, listed bool) {
	has := func(a specs.Arch) bool { return slices.Contains(s.Architectures, a) }
	switch {
	case goarch == "amd64" && d.Arch == unix.AUDIT_ARCH_I386:
		return specs.ArchX86, false, has(specs.ArchX86)
	case goarch == "amd64" && d.Arch == unix.AUDIT_ARCH_X86_64 &&
		d.Nr&0x40000000 == 0 && (d.Nr < 0x40000000 || has(specs.ArchX32)):
		return specs.ArchX86_64, true, true
	case goarch == "amd64" && d.Arch == unix.AUDIT_ARCH_X86_64:
		return specs.ArchX32, false, has(specs.ArchX32)
	case goarch == "arm64" && d.Arch == unix.AUDIT_ARCH_ARM:
		return specs.ArchARM, false, has(specs.ArchARM)
	case goarch == "arm64" && d.Arch == unix.AUDIT_ARCH_AARCH64:
		return specs.ArchAARCH64, true, true
	}
	return "", false, false
}

// above reports whether a call is newer than all that the section names.
func above(s *specs.LinuxSeccomp, arch specs.Arch, resolve Resolver, number uint32) bool {
	switch s.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace:
		return false
	}
	largest := int64(0)
	for i := range s.Syscalls {
		for _, name := range s.Syscalls[i].Names {
			if nr, through, _ := resolve(name, arch); through == "" {
				largest = max(largest, nr)
			}
		}
	}
	return largest > 0 && int64(number) > largest
}

// check reports whether conditions hold: all of them, or one, where two are about
// the same argument. always: whatever the arguments. Of a sub-call, those about
// argument 0 count as held.
func check(args []specs.LinuxSeccompArg, wide bool, d Data, sub bool) (holds, always bool) {
	counts := map[uint]int{}
	any, all, some := false, true, false
	for _, a := range args {
		counts[a.Index]++
		any = any || counts[a.Index] > 1
	}
	always = !any
	for _, a := range args {
		h, tautology := compare(a, wide, d.Args[a.Index])
		if sub && a.Index == 0 {
			h, tautology = true, true
		}
		all, some = all && h, some || h
		if any {
			always = always || tautology
		} else {
			always = always && tautology
		}
	}
	if any {
		return some, always
	}
	return all, always
}

func compare(a specs.LinuxSeccompArg, wide bool, x uint64) (holds, tautology bool) {
	v, two := a.Value, a.ValueTwo
	if !wide {
		x, v, two = x&0xffffffff, v&0xffffffff, two&0xffffffff
	}
	switch a.Op {
	case specs.OpNotEqual:
		return x != v, false
	case specs.OpLessThan:
		return x < v, false
	case specs.OpLessEqual:
		return x <= v, false
	case specs.OpEqualTo:
		return x == v, false
	case specs.OpGreaterEqual:
		return x >= v, false
	case specs.OpGreaterThan:
		return x > v, false
	}
	return x&v == two&v, v == 0
}

// ret is what a program returns for an action.
func ret(a specs.LinuxSeccompAction, errno *uint) uint32 {
	code := uint32(unix.EPERM)
	if errno != nil {
		code = uint32(*errno)
	}
	switch a {
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | code
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | code
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG
	case specs.ActNotify:
		return unix.SECCOMP_RET_USER_NOTIF
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS
	}
	return unix.SECCOMP_RET_KILL_THREAD
}
