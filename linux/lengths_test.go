// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/seccomp"
	"github.com/containerd-mini/mini/linux/sys"
)

// lists are those of a specification, each made of a length.
var lists = map[string]func(s *specs.Spec, n int){
	"args":      func(s *specs.Spec, n int) { s.Process.Args = append(s.Process.Args, numbered(n, "argument%d")...) },
	"env":       func(s *specs.Spec, n int) { s.Process.Env = numbered(n, "V%d=x") },
	"env twice": func(s *specs.Spec, n int) { s.Process.Env = append(numbered(n/2, "V%d=x"), numbered(n/2, "V%d=y")...) },
	"PATH": func(s *specs.Spec, n int) {
		s.Process.Args, s.Process.Env = []string{"sh"}, []string{"PATH=" + strings.Join(numbered(n, "/b%d"), ":")}
	},
	"groups": func(s *specs.Spec, n int) { s.Process.User.AdditionalGids = make([]uint32, n) },
	"capabilities": func(s *specs.Spec, n int) {
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: numbered(n, "CAP_%d")}
	},
	"annotations": func(s *specs.Spec, n int) {
		s.Annotations = map[string]string{}
		for _, k := range numbered(n, "org.example.%d") {
			s.Annotations[k] = "x"
		}
	},
	"sysctl": func(s *specs.Spec, n int) {
		s.Linux.Sysctl = map[string]string{}
		for _, k := range numbered(n, "net.ipv4.conf.e%d.forwarding") {
			s.Linux.Sysctl[k] = "1"
		}
	},
	"binds": func(s *specs.Spec, n int) {
		for _, d := range numbered(n, "/m%d") {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: d, Source: "/s", Options: []string{"rbind"}})
		}
	},
	"tmpfs": func(s *specs.Spec, n int) {
		for _, d := range numbered(n, "/m%d") {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: d, Source: "tmpfs", Type: "tmpfs"})
		}
	},
	"mount options": func(s *specs.Spec, n int) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/m", Source: "tmpfs", Type: "tmpfs", Options: numbered(n, "o%d")})
	},
	"mounts mapped alike": func(s *specs.Spec, n int) {
		m := []specs.LinuxIDMapping{{HostID: 9, Size: 5}}
		for _, d := range numbered(n, "/m%d") {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: d, Source: "/s", Options: []string{"bind"}, UIDMappings: m, GIDMappings: m})
		}
	},
	"masked paths":    func(s *specs.Spec, n int) { s.Linux.MaskedPaths = numbered(n, "/p%d") },
	"read-only paths": func(s *specs.Spec, n int) { s.Linux.ReadonlyPaths = numbered(n, "/p%d") },
	"devices": func(s *specs.Spec, n int) {
		for i, d := range numbered(n, "/dev/d%d") {
			s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: d, Type: "c", Major: 1, Minor: int64(i)})
		}
	},
	"device rules": func(s *specs.Spec, n int) {
		for i := range int64(n / 2) {
			s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Type: "c", Major: &i, Minor: &i, Access: "r"})
		}
	},
	"hugepage limits": func(s *specs.Spec, n int) {
		s.Linux.Resources.HugepageLimits = make([]specs.LinuxHugepageLimit, n)
		for i := range n {
			s.Linux.Resources.HugepageLimits[i].Pagesize = "2MB"
		}
	},
	"throttled devices": func(s *specs.Spec, n int) {
		s.Linux.Resources.BlockIO = &specs.LinuxBlockIO{ThrottleReadBpsDevice: make([]specs.LinuxThrottleDevice, n)}
		for i := range s.Linux.Resources.BlockIO.ThrottleReadBpsDevice {
			s.Linux.Resources.BlockIO.ThrottleReadBpsDevice[i].Rate = uint64(i + 1)
		}
	},
	"unified": func(s *specs.Spec, n int) {
		s.Linux.Resources.Unified = map[string]string{}
		for _, k := range numbered(n, "memory.f%d") {
			s.Linux.Resources.Unified[k] = "1"
		}
	},
	"rdma": func(s *specs.Spec, n int) {
		s.Linux.Resources.Rdma = map[string]specs.LinuxRdma{}
		one := uint32(1)
		for _, k := range numbered(n, "mlx%d") {
			s.Linux.Resources.Rdma[k] = specs.LinuxRdma{HcaHandles: &one}
		}
	},
	"network devices": func(s *specs.Spec, n int) {
		s.Linux.NetDevices = map[string]specs.LinuxNetDevice{}
		for _, k := range numbered(n, "e%d") {
			s.Linux.NetDevices[k] = specs.LinuxNetDevice{}
		}
	},
	"hooks": func(s *specs.Spec, n int) {
		s.Hooks = &specs.Hooks{Poststop: make([]specs.Hook, n)}
		for i := range n {
			s.Hooks.Poststop[i].Path = "/bin/true"
		}
	},
	"seccomp rules": func(s *specs.Spec, n int) {
		s.Linux.Seccomp = seccompOf(n/4, func(i int) specs.LinuxSyscall {
			return specs.LinuxSyscall{Names: []string{"read"}, Args: []specs.LinuxSeccompArg{{Value: uint64(i), Op: specs.OpEqualTo}}}
		})
	},
	"seccomp names": func(s *specs.Spec, n int) {
		s.Linux.Seccomp = seccompOf(1, func(int) specs.LinuxSyscall { return specs.LinuxSyscall{Names: numbered(n, "call%d")} })
	},
	"seccomp arguments": func(s *specs.Spec, n int) {
		args := make([]specs.LinuxSeccompArg, n/4)
		for i := range args {
			args[i] = specs.LinuxSeccompArg{Value: uint64(i), Op: specs.OpEqualTo}
		}
		s.Linux.Seccomp = seccompOf(1, func(int) specs.LinuxSyscall { return specs.LinuxSyscall{Names: []string{"read"}, Args: args} })
	},
	"seccomp architectures": func(s *specs.Spec, n int) {
		s.Linux.Seccomp = seccompOf(1, func(int) specs.LinuxSyscall { return specs.LinuxSyscall{Names: []string{"read"}} })
		for range n {
			s.Linux.Seccomp.Architectures = append(s.Linux.Seccomp.Architectures, specs.ArchX86)
		}
	},
}

// refused are lists with a limit of their own, which is named, and that much smaller
// than the lengths here that there is nothing to compare.
var refused = map[string]func(s *specs.Spec, n int){
	"process.rlimits": func(s *specs.Spec, n int) {
		for range n {
			s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_CORE"})
		}
	},
	"linux.namespaces": func(s *specs.Spec, n int) {
		for range n {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.IPCNamespace})
		}
	},
	"linux.uidMappings": func(s *specs.Spec, n int) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{Size: 1}}
		for i := range n {
			s.Linux.UIDMappings = append(s.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: uint32(i), HostID: uint32(i), Size: 1})
		}
	},
	"process.user.additionalGids": func(s *specs.Spec, n int) { s.Process.User.AdditionalGids = make([]uint32, 65*n) },
	"process.args[1]":             func(s *specs.Spec, n int) { s.Process.Args = []string{"sh", strings.Repeat("x", 131*n)} },
	"process.env[0]":              func(s *specs.Spec, n int) { s.Process.Env = []string{strings.Repeat("x", 131*n)} },
	"process": func(s *specs.Spec, n int) {
		for range 64 {
			s.Process.Env = append(s.Process.Env, "V="+strings.Repeat("x", 100*n))
		}
	},
	"mounts":                  func(s *specs.Spec, n int) { s.Linux.MaskedPaths = slices.Repeat([]string{"/x"}, 100*n) },
	"linux.resources.devices": func(s *specs.Spec, n int) { lists["device rules"](s, 12*n) },
	"linux.seccomp.syscalls":  func(s *specs.Spec, n int) { lists["seccomp rules"](s, 20*n) },
}

// numbered are n strings, each of the format with its number.
func numbered(n int, format string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return all
}

func seccompOf(n int, entry func(i int) specs.LinuxSyscall) *specs.LinuxSeccomp {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	for i := range n {
		e := entry(i)
		e.Action = specs.ActAllow
		s.Syscalls = append(s.Syscalls, e)
	}
	return s
}

// work is what a compilation takes: numbers that do not depend on who else has the
// machine.
type work struct {
	allocs, bytes uint64
	steps         int   // of init's program
	cpu           int64 // of the thread, in ns, the least of a few tries
}

// TestLongListsCostWhatTheyAre: eight times the length is at most about eight times
// the work, for each list of a specification. The square would be sixty-four times.
func TestLongListsCostWhatTheyAre(t *testing.T) {
	for name, list := range lists {
		t.Run(name, func(t *testing.T) { costsWhatItIs(t, list, compileLong) })
	}
}

// TestLongListsOfAnExecCostWhatTheyAre: the same of an exec's process.
func TestLongListsOfAnExecCostWhatTheyAre(t *testing.T) {
	for _, name := range []string{"args", "env", "env twice", "PATH", "groups", "capabilities"} {
		t.Run(name, func(t *testing.T) { costsWhatItIs(t, lists[name], compileLongExec) })
	}
}

// compiler is compileLong or compileLongExec.
type compiler func(t *testing.T, spec *specs.Spec, steps *int) error

func costsWhatItIs(t *testing.T, list func(*specs.Spec, int), compile compiler) {
	t.Helper()
	const short, times = 1000, 8
	one, eight := measure(t, short, list, compile), measure(t, times*short, list, compile)
	t.Logf("%d: %+v, %d: %+v", short, one, times*short, eight)
	for _, c := range []struct {
		what   string
		ratio  float64
		atMost float64
	}{
		{"allocations", float64(eight.allocs) / float64(one.allocs), 1.5 * times},
		{"bytes", float64(eight.bytes) / float64(one.bytes), 2.5 * times},
		{"steps", float64(eight.steps) / float64(one.steps), times},
		// n log n is 10.4; the rest is for caches that are smaller than the data.
		{"CPU time", float64(eight.cpu) / float64(max(one.cpu, 200_000)), 3 * times},
	} {
		if c.ratio > c.atMost {
			t.Errorf("%s: %.1f times as much for %d times the length", c.what, c.ratio, times)
		}
	}
}

// TestTooLongListsAreRefusedByName: what the kernel has a limit for.
func TestTooLongListsAreRefusedByName(t *testing.T) {
	refuses := func(what, field string, compile compiler) {
		err := compile(t, longSpec(t, 1010, refused[field]), nil)
		if err == nil || !strings.Contains(err.Error(), field) || len(err.Error()) > 300 {
			t.Errorf("%s, %s: %.400v", what, field, err)
		}
	}
	for field := range refused {
		refuses("create", field, compileLong)
		if strings.HasPrefix(field, "process") {
			refuses("exec", field, compileLongExec)
		}
	}
}

func longSpec(t *testing.T, n int, list func(*specs.Spec, int)) *specs.Spec {
	spec := newSpec(t, "sh", "-c", "true")
	spec.Linux.Resources = &specs.LinuxResources{}
	list(spec, n)
	return spec
}

func measure(t *testing.T, n int, list func(*specs.Spec, int), compile compiler) (w work) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	spec := longSpec(t, n, list)
	for range 3 {
		filters = seccomp.Cache{}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := threadTime(t)
		if err := compile(t, spec, &w.steps); err != nil {
			t.Fatal(err)
		}
		cpu := threadTime(t) - start
		runtime.ReadMemStats(&after)
		if w.cpu == 0 || cpu < w.cpu {
			w.cpu = cpu
		}
		w.allocs, w.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	}
	return w
}

func threadTime(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

// compileLong is all of a Create that needs no process.
func compileLong(t *testing.T, spec *specs.Spec, steps *int) error {
	t.Helper()
	m := &maker{Config: &Config{ID: "id", Bundle: "/bundle", Spec: spec, Warn: func(error) {}}, ns: &namespaces{join: map[int]*os.File{}}}
	if err := validate(m.Config); err != nil {
		return err
	}
	if err := m.compileFilter(); err != nil {
		return err
	}
	if err := cgroup.Check(spec.Linux.Resources, cgroup.Controllers{"cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma"}); err != nil {
		return err
	}
	_ = newHooks(m.Bundle, m.ID, spec)
	m.null, m.proc, m.gate = os.Stdin, os.Stdin, &gate{}
	var err error
	if m.gate.conn, m.end, err = sys.SocketPair(); err != nil {
		return err
	}
	defer m.gate.conn.Close()
	defer m.end.Close()
	if m.mounts, err = mount.Prepare(&mount.Config{Spec: spec, Bundle: m.Bundle, RootPath: rootPath(m.Bundle, spec), OwnNetNS: true, MapNS: m.mapNS}); err != nil {
		return err
	}
	defer m.mounts.Close()
	plan, err := m.compile()
	if err != nil {
		return err
	}
	p := plan.program()
	defer p.Close()
	if err := p.Compile(); err != nil {
		return err
	}
	if steps != nil {
		*steps = p.Len()
	}
	return nil
}

// compileLongExec is all of an Exec of the spec's process that needs no process. Its
// container has a short specification.
func compileLongExec(t *testing.T, spec *specs.Spec, steps *int) error {
	t.Helper()
	if err := checkProcess("process", spec.Process); err != nil {
		return err
	}
	short := newSpec(t, "true")
	c := &Container{id: "id", spec: short, init: &Process{pidfd: os.Stdin}, warn: func(error) {}}
	x := &execer{
		c: c, file: spec.Process.Args[0], null: os.Stdin, proc: os.Stdin,
		config: &ExecConfig{ID: "exec", Process: execProcess(spec.Process, short.Process)},
	}
	conn, end, err := sys.SocketPair()
	if err != nil {
		return err
	}
	x.end = end
	defer conn.Close()
	defer end.Close()
	p := x.compile()
	defer p.Close()
	if err := p.Compile(); err != nil {
		return err
	}
	if steps != nil {
		*steps = p.Len()
	}
	return nil
}
