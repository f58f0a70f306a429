// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math/rand/v2"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
)

// someNames are calls to make random sections of: of each kind that is treated in a
// way of its own, and plain ones.
var someNames = []string{
	"read", "write", "open", "openat", "clone", "clone3", "personality", "ioctl", "execve", "execveat", "kill", "mount", "mmap", "mmap2",
	"socket", "connect", "accept", "accept4", "sendto", "recvmmsg", "socketcall", "shmget", "msgctl", "semtimedop", "ipc", "fstat", "fstat64",
	"newfstatat", "rt_sigaction", "preadv2", "cacheflush", "set_tls", "futex", "futex_time64", "setuid", "setuid32", "io_uring_setup",
	"landlock_create_ruleset", "close_range", "s390_runtime_instr", "no_such_call", "restart_syscall", "arm_fadvise64_64", "getpid", "getuid",
	"process_madvise", "memfd_secret", "unshare", "setns", "ptrace", "bpf", "keyctl", "add_key", "umask", "nice", "stime", "waitpid",
}

var allActions = []specs.LinuxSeccompAction{
	specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify,
}

var allOps = []specs.LinuxSeccompOperator{
	specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
}

// someValues are near one another, in each half, so that conditions meet.
var someValues = []uint64{0, 1, 2, 3, 7, 8, 0x7e020000, 0xffffffff, 1 << 32, 1<<32 + 1, 2 << 32, 2<<32 + 7, 0xfffffffe00000000, ^uint64(0)}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// randomSection makes a section. With agree, all conditional rules of one call
// have one action, so that their order does not matter.
func randomSection(r *rand.Rand, goarch string, agree bool) *specs.LinuxSeccomp {
	s := &specs.LinuxSeccomp{ListenerPath: "/agent", Flags: []specs.LinuxSeccompFlag{}}
	action := func() (specs.LinuxSeccompAction, *uint) {
		a := pick(r, allActions)
		if (a == specs.ActErrno || a == specs.ActTrace) && r.IntN(2) == 0 {
			n := uint(r.IntN(100))
			return a, &n
		}
		return a, nil
	}
	for s.DefaultAction == "" || s.DefaultAction == specs.ActNotify {
		s.DefaultAction, s.DefaultErrnoRet = action()
	}
	for _, a := range map[string][]specs.Arch{"amd64": {specs.ArchX86, specs.ArchX86_64, specs.ArchX32}, "arm64": {specs.ArchARM, specs.ArchAARCH64}}[goarch] {
		if r.IntN(2) == 0 {
			s.Architectures = append(s.Architectures, a)
		}
	}
	fixed := map[string]specs.LinuxSyscall{}
	for range 1 + r.IntN(30) {
		e := specs.LinuxSyscall{}
		e.Action, e.ErrnoRet = action()
		for range r.IntN(4) * r.IntN(2) {
			e.Args = append(e.Args, specs.LinuxSeccompArg{Index: uint(r.IntN(6)), Value: pick(r, someValues), ValueTwo: pick(r, someValues), Op: pick(r, allOps)})
		}
		for range 1 + r.IntN(5) {
			name := pick(r, someNames)
			if name == "write" && e.Action == specs.ActNotify {
				name = "read"
			}
			one := e
			one.Names = []string{name}
			if agree {
				// socketcall(2) and ipc(2) share their rules with their sub-calls.
				key := name
				if through(name) {
					key = "sub-call"
				}
				if old, ok := fixed[key]; ok {
					one.Action, one.ErrnoRet = old.Action, old.ErrnoRet
				}
				fixed[key] = one
			}
			s.Syscalls = append(s.Syscalls, one)
		}
	}
	return s
}

// through reports whether a call is made through another one on x86.
func through(name string) bool {
	nr, err := libseccomp.GetSyscallFromNameByArch(name, libseccomp.ArchX86)
	return err == nil && nr <= -100 && nr > -300 || name == "socketcall" || name == "ipc"
}
