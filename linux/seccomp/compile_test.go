// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv/bpfvm"
)

func errno(n uint) *uint { return &n }

func TestRefusals(t *testing.T) {
	entry := func(e specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{e}}
	}
	arg := func(a specs.LinuxSeccompArg) *specs.LinuxSeccomp {
		return entry(specs.LinuxSyscall{
			Names:  []string{"read"},
			Action: specs.ActLog,
			Args:   []specs.LinuxSeccompArg{a},
		})
	}
	read := func(action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"read"}, Action: action, Args: args}
	}
	first, second := specs.LinuxSeccompArg{Op: specs.OpEqualTo}, specs.LinuxSeccompArg{Index: 1, Op: specs.OpEqualTo}
	contradiction := entry(read(specs.ActLog, first))
	contradiction.Syscalls = append(contradiction.Syscalls, read(specs.ActTrap, first))
	hidden := entry(read(specs.ActLog, first, second))
	hidden.Syscalls = append(hidden.Syscalls, read(specs.ActTrap, first))
	allow := func(flags ...specs.LinuxSeccompFlag) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: flags}
	}
	names := func(action specs.LinuxSeccompAction, names ...string) *specs.LinuxSeccomp {
		return entry(specs.LinuxSyscall{Names: names, Action: action})
	}
	withErrno := func(action specs.LinuxSeccompAction, n uint) *specs.LinuxSeccomp {
		return entry(specs.LinuxSyscall{Names: []string{"read"}, Action: action, ErrnoRet: errno(n)})
	}
	unknownArch := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: []specs.Arch{specs.ArchMIPS, "SCMP_ARCH_Z"},
	}
	tooLarge := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: errno(4096)}
	for want, s := range map[string]*specs.LinuxSeccomp{
		"defaultAction: unknown action":                            {DefaultAction: "SCMP_ACT_NONE"},
		"defaultAction: unknown action \"\"":                       entryWithoutDefault(),
		"defaultAction: SCMP_ACT_NOTIFY would stop":                {DefaultAction: specs.ActNotify, ListenerPath: "/x"},
		"defaultErrnoRet: SCMP_ACT_KILL has no errno":              {DefaultAction: specs.ActKill, DefaultErrnoRet: errno(1)},
		"defaultErrnoRet: 4096 is above 4095":                      tooLarge,
		"architectures[1]: unknown architecture \"SCMP_ARCH_Z\"":   unknownArch,
		"flags[0]: unknown flag":                                   allow("SECCOMP_FILTER_FLAG_NEW_LISTENER"),
		"flags[0]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV without": allow(specs.LinuxSeccompFlagWaitKillableRecv),
		"listenerMetadata: without listenerPath":                   {DefaultAction: specs.ActAllow, ListenerMetadata: "x"},
		"listenerPath: missing for SCMP_ACT_NOTIFY":                names(specs.ActNotify, "read"),
		"syscalls[0].names: missing":                               names(specs.ActLog),
		"syscalls[0].names[1]: empty":                              names(specs.ActLog, "read", ""),
		"syscalls[0].names[0]: SCMP_ACT_NOTIFY cannot be used":     names(specs.ActNotify, "write"),
		"syscalls[0].action: unknown action \"ALLOW\"":             names("ALLOW", "read"),
		"syscalls[0].errnoRet: SCMP_ACT_LOG has no errno":          withErrno(specs.ActLog, 1),
		"syscalls[0].errnoRet: 65536 is above 65535":               withErrno(specs.ActTrace, 65536),
		"syscalls[0].args[0].index: 6 is not between 0 and 5":      arg(specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo}),
		"syscalls[0].args[0].op: unknown operator \"==\"":          arg(specs.LinuxSeccompArg{Op: "=="}),
		"syscalls[1]: contradicts syscalls[0] (call 0 of":          contradiction,
		"syscalls[1]: contradicts syscalls[0] (call 0 ":            hidden,
	} {
		f, err := CompileFor("amd64", s)
		if f != nil || !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.HasPrefix(err.Error(), "linux.seccomp."+want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func entryWithoutDefault() *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActLog}}}
}

func TestEmptySectionIsNoFilter(t *testing.T) {
	for _, s := range []*specs.LinuxSeccomp{nil, {}} {
		if f, err := CompileFor("amd64", s); f != nil || err != nil {
			t.Errorf("%+v: %v, %v", s, f, err)
		}
	}
}

// TestLongPrograms fills programs up to and above the kernel's limit. Everywhere in them,
// jumps lead further than 255 instructions.
func TestLongPrograms(t *testing.T) {
	longest := 0
	for _, n := range []int{1, 30, 300, 1000, 1300, 2000, 3000, 10_000, 70_000} {
		s := &specs.LinuxSeccomp{
			DefaultAction: specs.ActErrno,
			Architectures: []specs.Arch{specs.ArchX86, specs.ArchX32},
		}
		for i := range n {
			s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{
				Names: []string{call(i % len(nameEnds)).name()}, Action: specs.ActAllow,
				Args: []specs.LinuxSeccompArg{{Index: uint(i % 6), Value: uint64(i) << 31, Op: specs.OpLessThan}},
			})
		}
		f, err := CompileFor("amd64", s)
		if err != nil {
			if !errors.Is(err, errdefs.ErrInvalidArgument) || n < 300 {
				t.Errorf("%d rules: %v", n, err)
			}
			continue
		}
		longest = max(longest, len(f.Program))
		for nr := range uint32(470) {
			for _, audit := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386} {
				args := [6]uint64{1, 2 << 33, 3 << 35, 4 << 36, 5, 6}
				agree(t, s, f, "amd64", bpfvm.Data{Nr: nr, Arch: audit, Args: args})
			}
		}
	}
	if longest < 1000 || longest > maxProgram {
		t.Errorf("the longest program had %d instructions", longest)
	}
}

// agree fails the test unless the program's verdict is one of the section's.
func agree(t testing.TB, s *specs.LinuxSeccomp, f *Filter, goarch string, d bpfvm.Data) {
	t.Helper()
	got, _, err := bpfvm.Run(f.Program, d)
	if err != nil {
		t.Fatal(err)
	}
	meant := bpfvm.Meaning(s, goarch, resolve, d)
	for _, m := range meant {
		if m == got {
			return
		}
	}
	t.Fatalf("%+v: %#x, not one of %#x", d, got, meant)
}

// resolve looks calls up in this package's tables, as bpfvm.Meaning wants it.
func resolve(name string, a specs.Arch) (nr int64, through string, sub uint64) {
	c, ok := findCall(name)
	if !ok {
		return -1, "", 0
	}
	for i, known := range architectures {
		if known.name == a {
			if known.mux {
				through, sub = c.sub()
			}
			if n, ok := c.number(arch(i)); ok {
				return int64(n), through, sub
			}
		}
	}
	return -1, through, sub
}

func TestCacheIsWeak(t *testing.T) {
	var c Cache
	section := func(n uint) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{
			DefaultAction:   specs.ActErrno,
			DefaultErrnoRet: &n,
			Syscalls:        []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActAllow}},
		}
	}
	get := func(n uint) *Filter {
		f, err := c.Compile(section(n))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	one, two := get(1), get(2)
	if one == two || get(1) != one || get(2) != two {
		t.Error("the filters are not those of the sections")
	}
	runtime.KeepAlive(one)
	runtime.KeepAlive(two)
	for n := range uint(3 * maxFilters) {
		get(n)
	}
	if n := len(c.filters); n > maxFilters {
		t.Errorf("%d filters are cached", n)
	}
	runtime.GC()
	runtime.GC()
	for _, p := range c.filters {
		if p.Value() != nil {
			t.Fatal("the cache keeps a filter alive")
		}
	}
}

func TestTableIsGenerated(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command: ", err)
	}
	out, err := exec.Command("go", "run", "table_gen.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadFile("table.go"); err != nil || string(have) != string(out) {
		t.Errorf("table.go is not what table_gen.go writes: go generate (%v)", err)
	}
}

func TestFlags(t *testing.T) {
	type list = []specs.LinuxSeccompFlag
	for _, c := range []struct {
		flags  list
		notify bool
		want   uint
	}{
		{nil, false, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{list{}, false, 0},
		{list{flagTSync, specs.LinuxSeccompFlagLog}, false, unix.SECCOMP_FILTER_FLAG_LOG},
		{
			list{specs.LinuxSeccompFlagWaitKillableRecv},
			true,
			unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		},
	} {
		s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: c.flags}
		if c.notify {
			s.ListenerPath = "/x"
			s.Syscalls = []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}
		}
		f, err := CompileFor("amd64", s)
		if err != nil || f.Flags != c.want || f.Notifies() != c.notify {
			t.Errorf("%+v: %+v, %v", s, f, err)
		}
	}
}

func ExampleCompileFor() {
	f, err := CompileFor("amd64", &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Syscalls:      []specs.LinuxSyscall{{Names: []string{"read", "write"}, Action: specs.ActAllow}},
	})
	fmt.Println(len(f.Program), err)
	// Output: 12 <nil>
}
