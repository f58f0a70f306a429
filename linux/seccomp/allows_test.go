// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math/rand/v2"
	"runtime"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv/bpfvm"
)

// TestAllows: what a filter allows is what the virtual machine of the tests, which the
// kernel agrees with (TestKernelAgrees), makes of its program.
func TestAllows(t *testing.T) {
	namespaces := specs.LinuxSeccompArg{Value: 0x7e020000, Op: specs.OpMaskedEqual}
	large := specs.LinuxSeccompArg{Index: 1, Value: 1 << 33, Op: specs.OpGreaterEqual}
	f, err := CompileFor(runtime.GOARCH, &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read", "write", "exit_group"}, Action: specs.ActAllow},
			{Names: []string{"setsid"}, Action: specs.ActLog},
			{Names: []string{"clone"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{namespaces}},
			{Names: []string{"ioctl"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{large}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want bool
		nr   uint64
		args []uint64
	}{
		{true, unix.SYS_READ, nil},
		{false, unix.SYS_OPENAT, nil},
		{false, unix.SYS_SETSID, nil}, // logged: the kernel may do more than go on
		{true, unix.SYS_CLONE, []uint64{unix.CLONE_PARENT | unix.CLONE_PIDFD}},
		{false, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER}},
		{false, unix.SYS_IOCTL, []uint64{0, 1 << 32}},
		{true, unix.SYS_IOCTL, []uint64{0, 1 << 34}},
	} {
		if got := f.Allows(c.nr, c.args...); got != c.want {
			t.Errorf("call %d %#x: %v", c.nr, c.args, got)
		}
	}
	arch := uint32(unix.AUDIT_ARCH_X86_64)
	if runtime.GOARCH == "arm64" {
		arch = unix.AUDIT_ARCH_AARCH64
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		d := bpfvm.Data{Nr: r.Uint32N(500), Arch: arch}
		for i := range d.Args {
			d.Args[i] = r.Uint64() >> r.IntN(64)
		}
		ret, _, err := bpfvm.Run(f.Program, d)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := f.Allows(uint64(d.Nr), d.Args[:]...), ret == unix.SECCOMP_RET_ALLOW; got != want {
			t.Fatalf("%+v: %v, want %v", d, got, want)
		}
	}
}
