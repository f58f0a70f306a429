// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math/rand/v2"
	"slices"
	"testing"

	containerd "github.com/containerd/containerd/v2/contrib/seccomp"
	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"

	"github.com/containerd-mini/mini/linux/seccomp"
)

// capabilitySets are what the default profiles are made for: they allow more to
// who may do more.
var capabilitySets = map[string][]string{
	"none":    {},
	"default": {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"},
	"admin":   {"CAP_SYS_ADMIN"},
	"many": {
		"CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_SYS_NICE",
		"CAP_SYSLOG", "CAP_BPF", "CAP_PERFMON", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_DAC_READ_SEARCH",
	},
}

// profiles yields the default profiles of containerd and of Docker.
func profiles(t testing.TB, f func(name string, s *specs.LinuxSeccomp)) {
	t.Helper()
	for name, caps := range capabilitySets {
		spec := &specs.Spec{
			Version: specs.Version, Linux: &specs.Linux{},
			Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}},
		}
		f("containerd/"+name, containerd.DefaultProfile(spec))
		s, err := moby.GetDefaultProfile(spec)
		if err != nil {
			t.Fatal(err)
		}
		f("moby/"+name, s)
	}
}

// disputed is a call that the kernel has on x86_64 alone (abi 64 in syscall_64.tbl),
// and libseccomp 2.6.0 on x32, too; Debian's 2.5.4 has it as the kernel.
const disputed = "map_shadow_stack"

// known is a section without the calls that this libseccomp has not heard of:
// they move the border above which calls are answered with ENOSYS.
func known(s *specs.LinuxSeccomp) *specs.LinuxSeccomp {
	k := *s
	k.Syscalls = nil
	for _, e := range s.Syscalls {
		e.Names = slices.DeleteFunc(slices.Clone(e.Names), func(n string) bool {
			_, err := libseccomp.GetSyscallFromName(n)
			return err != nil || n == disputed
		})
		if len(e.Names) > 0 {
			k.Syscalls = append(k.Syscalls, e)
		}
	}
	return &k
}

func TestDefaultProfiles(t *testing.T) {
	profiles(t, func(name string, s *specs.LinuxSeccomp) {
		for _, goarch := range []string{"amd64", "arm64"} {
			t.Run(name+"/"+goarch, func(t *testing.T) {
				k := known(s)
				if goarch == "arm64" {
					k.Architectures = []specs.Arch{specs.ArchARM, specs.ArchAARCH64}
				}
				o, err := ask(k, goarch)
				if err != nil {
					t.Fatal(err)
				}
				f, err := seccomp.CompileFor(goarch, k)
				if err != nil {
					t.Fatal(err)
				}
				var sum tally
				if d := compare(t, k, f, o, goarch, 40, rand.New(rand.NewPCG(4, 4)), &sum); d != "" {
					t.Error(d)
				}
				if sum.wrong > 0 {
					t.Errorf("libseccomp was wrong about %d calls", sum.wrong)
				}
				t.Logf("%d calls asked about; %d instructions, libseccomp's has %d and runc's stub before it", sum.asked, len(f.Program), len(o.program))
			})
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	profiles(b, func(name string, s *specs.LinuxSeccomp) {
		if name != "containerd/default" && name != "moby/default" {
			return
		}
		k := known(s)
		b.Run(name+"/mini", func(b *testing.B) {
			b.ReportAllocs()
			length := 0
			for b.Loop() {
				f, err := seccomp.CompileFor("amd64", k)
				if err != nil {
					b.Fatal(err)
				}
				length = len(f.Program)
			}
			b.ReportMetric(float64(length), "instructions")
		})
		b.Run(name+"/cached", func(b *testing.B) {
			var c seccomp.Cache
			keep, err := c.Compile(k)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if f, err := c.Compile(k); err != nil || f != keep {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/libseccomp", func(b *testing.B) {
			length := 0
			for b.Loop() {
				o, err := ask(k, "amd64")
				if err != nil {
					b.Fatal(err)
				}
				length = len(o.program)
			}
			b.ReportMetric(float64(length), "instructions")
		})
	})
}
