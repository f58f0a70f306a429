// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math/rand/v2"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv/bpfvm"
	"github.com/containerd-mini/mini/linux/seccomp"
)

// TestSteps counts the instructions that calls take: the search must not take more
// than libseccomp's, on average and at worst.
func TestSteps(t *testing.T) {
	profiles(t, func(name string, s *specs.LinuxSeccomp) {
		k := known(s)
		o, err := ask(k, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		f, err := seccomp.CompileFor("amd64", k)
		if err != nil {
			t.Fatal(err)
		}
		count := func(program []unix.SockFilter) (sum, worst int) {
			for nr := range uint32(470) {
				_, n, err := bpfvm.Run(program, data{Nr: nr, Arch: unix.AUDIT_ARCH_X86_64})
				if err != nil {
					t.Fatal(err)
				}
				sum, worst = sum+n, max(worst, n)
			}
			return sum, worst
		}
		sum, worst := count(f.Program)
		theirs, theirWorst := count(o.program)
		t.Logf("%s: %.1f instructions a call, %d at worst; libseccomp %.1f and %d, without runc's stub", name, float64(sum)/470, worst, float64(theirs)/470, theirWorst)
		if sum > theirs || worst > theirWorst {
			t.Errorf("%s takes longer than libseccomp's", name)
		}
	})
}

// TestNumbers compares the tables with libseccomp's, call by call: a section that
// names one call alone allows just its number.
func TestNumbers(t *testing.T) {
	names := map[string]bool{}
	for nr := range 600 {
		for _, a := range scmpArchs {
			for _, n := range []int{nr, nr | 0x40000000, nr + 0xf0000} {
				if name, err := libseccomp.ScmpSyscall(n).GetNameByArch(a); err == nil {
					names[name] = true
				}
			}
		}
	}
	if len(names) < 450 {
		t.Fatalf("libseccomp knows %d names only", len(names))
	}
	delete(names, disputed)
	for name := range names {
		for goarch, archs := range map[string][]specs.Arch{"amd64": {specs.ArchX86, specs.ArchX32}, "arm64": {specs.ArchARM}} {
			s := &specs.LinuxSeccomp{DefaultAction: specs.ActLog, Architectures: archs, Syscalls: []specs.LinuxSyscall{{Names: []string{name}, Action: specs.ActAllow}}}
			f, err := seccomp.CompileFor(goarch, s)
			if err != nil {
				t.Fatal(err)
			}
			for d := range calls(s, goarch, 1, rand.New(rand.NewPCG(5, 5))) {
				if got, want := run(t, f.Program, d), bpfvm.Meaning(s, goarch, resolve, d); got != want[0] {
					t.Errorf("%s on %s: %+v: %#x, not %#x", name, goarch, d, got, want)
				}
			}
		}
	}
}
