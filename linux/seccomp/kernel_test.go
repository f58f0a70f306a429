// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/integration/testenv/bpfvm"
)

// harmless lists calls without arguments. They may be called with any.
var harmless = map[string]uintptr{
	"getuid":  unix.SYS_GETUID,
	"getgid":  unix.SYS_GETGID,
	"geteuid": unix.SYS_GETEUID,
	"getegid": unix.SYS_GETEGID,
	"getppid": unix.SYS_GETPPID,
}

// TestKernelAgrees lets the kernel run the programs of random sections on harmless calls
// with random arguments.
func TestKernelAgrees(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			testenv.Subprocess(t, 0, func(t *testing.T) { kernelAgrees(t, seed) })
		})
	}
}

func kernelAgrees(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 6))
	values := []uint64{0, 1, 7, 8, 1 << 32, 1<<32 + 7, 0xffffffff, ^uint64(0)}
	value := func() uint64 { return values[r.IntN(len(values))] }
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	n := uint(10)
	for name := range harmless {
		for range 3 {
			e := specs.LinuxSyscall{Names: []string{name}, Action: specs.ActErrno, ErrnoRet: &n}
			for i := range 1 + r.IntN(3) {
				e.Args = append(e.Args, specs.LinuxSeccompArg{
					Index:    uint(i + r.IntN(4)),
					Value:    value(),
					ValueTwo: value(),
					Op:       operators[r.IntN(len(operators))],
				})
			}
			s.Syscalls = append(s.Syscalls, e)
		}
		n++
	}
	f, err := CompileFor(runtime.GOARCH, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	prog := unix.SockFprog{Len: uint16(len(f.Program)), Filter: &f.Program[0]}
	flags := uintptr(f.Flags | unix.SECCOMP_FILTER_FLAG_TSYNC)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		t.Fatalf("seccomp: %v", errno)
	}
	refused := 0
	for range 2000 {
		for _, nr := range harmless {
			d := bpfvm.Data{Nr: uint32(nr), Arch: architectures[familyOf(runtime.GOARCH)[0]].audit}
			for i := range d.Args {
				d.Args[i] = value()
			}
			var arg [6]uintptr
			for i := range arg {
				arg[i] = uintptr(d.Args[i])
			}
			_, _, errno := unix.RawSyscall6(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5])
			got := uint32(unix.SECCOMP_RET_ALLOW)
			if errno != 0 {
				refused++
				got = unix.SECCOMP_RET_ERRNO | uint32(errno)
			}
			if meant := bpfvm.Meaning(s, runtime.GOARCH, resolve, d); !slices.Contains(meant, got) {
				t.Fatalf("%+v: the kernel says %#x, not one of %#x", d, got, meant)
			}
		}
	}
	if refused == 0 {
		t.Error("no call was refused")
	}
}
