// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// oracle is a section as runc and libseccomp have it.
type oracle struct {
	program []unix.SockFilter
	// The largest number that the section names, of each architecture: what is above
	// gets ENOSYS from a program that runc puts in front (libcontainer/seccomp/patchbpf).
	largest map[libseccomp.ScmpArch]uint32
	stub    bool
}

var scmpArchs = map[specs.Arch]libseccomp.ScmpArch{
	specs.ArchX86: libseccomp.ArchX86, specs.ArchX86_64: libseccomp.ArchAMD64, specs.ArchX32: libseccomp.ArchX32,
	specs.ArchARM: libseccomp.ArchARM, specs.ArchAARCH64: libseccomp.ArchARM64,
}

// natives is the native architecture, by GOARCH.
var natives = map[string]libseccomp.ScmpArch{"amd64": libseccomp.ArchAMD64, "arm64": libseccomp.ArchARM64}

func scmpAction(a specs.LinuxSeccompAction, errno *uint) libseccomp.ScmpAction {
	code := int16(unix.EPERM)
	if errno != nil {
		code = int16(*errno)
	}
	return map[specs.LinuxSeccompAction]libseccomp.ScmpAction{
		specs.ActKill: libseccomp.ActKillThread, specs.ActKillThread: libseccomp.ActKillThread, specs.ActKillProcess: libseccomp.ActKillProcess,
		specs.ActTrap: libseccomp.ActTrap, specs.ActErrno: libseccomp.ActErrno.SetReturnCode(code), specs.ActTrace: libseccomp.ActTrace.SetReturnCode(code),
		specs.ActAllow: libseccomp.ActAllow, specs.ActLog: libseccomp.ActLog, specs.ActNotify: libseccomp.ActNotify,
	}[a]
}

var scmpOps = map[specs.LinuxSeccompOperator]libseccomp.ScmpCompareOp{
	specs.OpNotEqual: libseccomp.CompareNotEqual, specs.OpLessThan: libseccomp.CompareLess, specs.OpLessEqual: libseccomp.CompareLessOrEqual,
	specs.OpEqualTo: libseccomp.CompareEqual, specs.OpGreaterEqual: libseccomp.CompareGreaterEqual, specs.OpGreaterThan: libseccomp.CompareGreater,
	specs.OpMaskedEqual: libseccomp.CompareMaskedEqual,
}

// ask has libseccomp compile a section, in the steps of runc 1.5.2
// (libcontainer/seccomp/seccomp_linux.go).
func ask(s *specs.LinuxSeccomp, goarch string) (*oracle, error) {
	def := scmpAction(s.DefaultAction, s.DefaultErrnoRet)
	f, err := libseccomp.NewFilter(def)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	archs := []libseccomp.ScmpArch{natives[goarch]}
	if goarch == "arm64" {
		if err := f.AddArch(libseccomp.ArchARM64); err != nil {
			return nil, err
		}
		if err := f.RemoveArch(libseccomp.ArchAMD64); err != nil {
			return nil, err
		}
	}
	for _, a := range s.Architectures {
		if scmpArchs[a] != natives[goarch] {
			archs = append(archs, scmpArchs[a])
		}
		if err := f.AddArch(scmpArchs[a]); err != nil {
			return nil, fmt.Errorf("%s: %w", a, err)
		}
	}
	if err := addRules(f, s, def); err != nil {
		return nil, err
	}
	// runc does so for more than 32 calls. Without, libseccomp (2.5.4, 2.6.0) forgets to
	// load the call's number where the call that it sorts first does not exist on an
	// architecture, and compares with what was loaded before
	// (gen_bpf.c, _gen_bpf_syscalls: acc_reset of a call that is skipped).
	if err := f.SetOptimize(2); err != nil {
		return nil, err
	}
	o := &oracle{largest: largest(s, archs)}
	switch s.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace:
	default:
		o.stub = true
	}
	o.program, err = export(f)
	return o, err
}

func addRules(f *libseccomp.ScmpFilter, s *specs.LinuxSeccomp, def libseccomp.ScmpAction) error {
	for i := range s.Syscalls {
		e := &s.Syscalls[i]
		act := scmpAction(e.Action, e.ErrnoRet)
		if act == def {
			continue
		}
		var conds []libseccomp.ScmpCondition
		counts, twice := map[uint]int{}, false
		for _, a := range e.Args {
			c, err := libseccomp.MakeCondition(a.Index, scmpOps[a.Op], a.Value, a.ValueTwo)
			if err != nil {
				return err
			}
			conds = append(conds, c)
			counts[a.Index]++
			twice = twice || counts[a.Index] > 1
		}
		for _, name := range e.Names {
			nr, err := libseccomp.GetSyscallFromName(name)
			if err != nil {
				continue
			}
			switch {
			case len(conds) == 0:
				err = f.AddRule(nr, act)
			case !twice:
				err = f.AddRuleConditional(nr, act, conds)
			default:
				for _, c := range conds {
					if err = f.AddRuleConditional(nr, act, []libseccomp.ScmpCondition{c}); err != nil {
						break
					}
				}
			}
			if err != nil {
				return fmt.Errorf("syscalls[%d] %s: %w", i, name, err)
			}
		}
	}
	return nil
}

func largest(s *specs.LinuxSeccomp, archs []libseccomp.ScmpArch) map[libseccomp.ScmpArch]uint32 {
	out := map[libseccomp.ScmpArch]uint32{}
	for _, a := range archs {
		for i := range s.Syscalls {
			for _, name := range s.Syscalls[i].Names {
				if nr, err := libseccomp.GetSyscallFromNameByArch(name, a); err == nil && nr > 0 {
					out[a] = max(out[a], uint32(nr))
				}
			}
		}
	}
	return out
}

func export(f *libseccomp.ScmpFilter) ([]unix.SockFilter, error) {
	fd, err := unix.MemfdCreate("bpf", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "bpf")
	defer file.Close()
	if err := f.ExportBPF(file); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	program := make([]unix.SockFilter, len(raw)/8)
	for i := range program {
		b := raw[8*i:]
		program[i] = unix.SockFilter{Code: binary.LittleEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.LittleEndian.Uint32(b[4:])}
	}
	return program, nil
}

// verdict is what runc's filter, stub and all, returns.
func (o *oracle) verdict(t testing.TB, d data) uint32 {
	t.Helper()
	if o.stub && o.stubbed(d) {
		return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	}
	return run(t, o.program, d)
}

// resolve is libseccomp's idea of a call's number.
func resolve(name string, arch specs.Arch) (int64, string, uint64) {
	nr, err := libseccomp.GetSyscallFromNameByArch(name, scmpArchs[arch])
	switch n := int64(nr); {
	case err != nil:
		return -1, "", 0
	case n >= 0:
		return n, "", 0
	case arch == specs.ArchX86 && n <= -100 && n >= -120:
		return direct[name], "socketcall", uint64(-n - 100)
	case arch == specs.ArchX86 && n <= -200 && n >= -224:
		return direct[name], "ipc", uint64(-n - 200)
	}
	return -1, "", 0
}

// direct are the numbers on x86 of calls that libseccomp only tells the sub-call
// of (arch/x86/entry/syscalls/syscall_32.tbl).
var direct = map[string]int64{
	"socket": 359, "socketpair": 360, "bind": 361, "connect": 362, "listen": 363, "accept4": 364, "getsockopt": 365, "setsockopt": 366,
	"getsockname": 367, "getpeername": 368, "sendto": 369, "sendmsg": 370, "recvfrom": 371, "recvmsg": 372, "shutdown": 373,
	"recvmmsg": 337, "sendmmsg": 345, "semget": 393, "semctl": 394, "shmget": 395, "shmctl": 396, "shmat": 397, "shmdt": 398,
	"msgget": 399, "msgsnd": 400, "msgrcv": 401, "msgctl": 402, "accept": -1, "send": -1, "recv": -1, "semop": -1, "semtimedop": -1,
}

func (o *oracle) stubbed(d data) bool {
	above := func(a libseccomp.ScmpArch) bool {
		limit, ok := o.largest[a]
		return ok && d.Nr > limit
	}
	switch d.Arch {
	case unix.AUDIT_ARCH_X86_64:
		if d.Nr&0x40000000 != 0 {
			return above(libseccomp.ArchX32)
		}
		return above(libseccomp.ArchAMD64)
	case unix.AUDIT_ARCH_I386:
		return above(libseccomp.ArchX86)
	case unix.AUDIT_ARCH_ARM:
		return above(libseccomp.ArchARM)
	case unix.AUDIT_ARCH_AARCH64:
		return above(libseccomp.ArchARM64)
	}
	return false
}
