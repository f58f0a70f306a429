// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// pick is some of the list, in random order.
func pick[T any](r *rand.Rand, list []T, most int) []T {
	list = slices.Clone(list)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:r.IntN(min(most, len(list))+1)]
}

// one of the list.
func one[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// scene is what random specs refer to on the host: a volume, namespaces to join,
// and a file that hooks write to.
type scene struct {
	vol, hooked string
	namespaces  map[specs.LinuxNamespaceType]string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{vol: volume(t), hooked: t.TempDir() + "/hooked"}
	pod := exec.Command("unshare", "-n", "-i", "-u", "-C", "sleep", "1000")
	if err := pod.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pod.Process.Kill()
		pod.Wait()
	})
	ready := func() bool {
		mine, err1 := os.Readlink("/proc/self/ns/cgroup")
		theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/cgroup", pod.Process.Pid))
		return err1 == nil && err2 == nil && mine != theirs
	}
	for !ready() {
		if pod.ProcessState != nil {
			t.Fatal(pod.ProcessState)
		}
	}
	s.namespaces = map[specs.LinuxNamespaceType]string{}
	for _, kind := range []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace} {
		s.namespaces[kind] = fmt.Sprintf("/proc/%d/ns/%s", pod.Process.Pid, namespaceFiles[kind])
	}
	return s
}

// randomSpec combines what a spec can ask for.
type randomSpec struct {
	*rand.Rand
	*scene
	opts     []oci.SpecOpts
	userns   bool
	terminal bool
	readonly []string // where a tmpfs is read-only
}

func newRandomSpec(s *scene, seed uint64) *randomSpec {
	r := &randomSpec{Rand: rand.New(rand.NewPCG(seed, 0)), scene: s}
	r.userns = r.once(5)
	r.process()
	r.scheduling()
	for range r.IntN(6) {
		r.mount()
	}
	r.namespacesAndNames()
	r.devices()
	r.linux()
	r.hooks()
	if r.once(6) {
		r.add(r.poison())
	}
	return r
}

func (r *randomSpec) add(opts ...oci.SpecOpts) { r.opts = append(r.opts, opts...) }

// once is true one time in n.
func (r *randomSpec) once(n int) bool { return r.IntN(n) == 0 }

var randomCaps = strings.Fields(`CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP CAP_SETPCAP
	CAP_KILL CAP_SYS_ADMIN CAP_NET_ADMIN CAP_SYS_PTRACE CAP_AUDIT_WRITE CAP_SYS_CHROOT CAP_NET_BIND_SERVICE CAP_BPF CAP_CHECKPOINT_RESTORE`)

func (r *randomSpec) process() {
	ids := uint32(3000)
	if r.once(8) && !r.userns {
		ids = 1 << 31
	}
	user := specs.User{UID: r.Uint32N(ids), GID: r.Uint32N(ids), AdditionalGids: pick(r.Rand, []uint32{1, 2, 3, 5, 2000, 50000}, 5)}
	if r.once(3) {
		user.UID, user.GID = 0, 0
	}
	if r.once(2) {
		mask := r.Uint32N(0o1000)
		user.Umask = &mask
	}
	cwd := one(r.Rand, "/", "/", "/home/mini", "/var/new/dir", "/tmp/../etc", "/usr//bin/")
	nnp := r.once(2)
	env := pick(r.Rand, []string{"A=1", "A=2", "HOME=", "HOME=/x", "EMPTY=", "UTF=ü", "TERM=xterm", "odd name=1", "LONG=" + strings.Repeat("x", 3000)}, 9)
	bounding := pick(r.Rand, randomCaps, 20)
	permitted := pick(r.Rand, bounding, 10)
	caps := &specs.LinuxCapabilities{Bounding: bounding, Permitted: permitted, Effective: pick(r.Rand, permitted, 10), Inheritable: pick(r.Rand, permitted, 3)}
	caps.Ambient = pick(r.Rand, caps.Inheritable, 3)
	var limits []specs.POSIXRlimit
	for _, name := range pick(r.Rand, []string{"AS", "CORE", "FSIZE", "NICE", "NOFILE", "SIGPENDING", "MSGQUEUE", "STACK", "MEMLOCK", "RTTIME", "LOCKS"}, 4) {
		hard := min(map[string]uint64{"AS": 1 << 32, "STACK": 1 << 26, "NICE": 1}[name]+64+r.Uint64N(1000), hardLimit(name))
		limits = append(limits, specs.POSIXRlimit{Type: "RLIMIT_" + name, Soft: hard - r.Uint64N(min(hard, 30)+1), Hard: hard})
	}
	adj := r.IntN(1000)
	withAdj := r.once(2)
	r.add(process(func(p *specs.Process) {
		p.User, p.Cwd, p.NoNewPrivileges, p.Env, p.Rlimits = user, cwd, nnp, append(p.Env, env...), limits
		if withAdj {
			p.OOMScoreAdj = &adj
		}
		p.Capabilities = caps // runc keeps the bounding set where there are none
	}))
	if r.once(6) {
		r.terminal = true
		r.add(oci.WithTTY)
		if r.once(2) {
			box := &specs.Box{Width: uint(r.IntN(300)), Height: uint(r.IntN(100))}
			r.add(process(func(p *specs.Process) { p.ConsoleSize = box }))
		}
	}
}

// hardLimit is our own: not everywhere may we give more.
func hardLimit(name string) uint64 {
	limits := map[string]int{
		"AS": unix.RLIMIT_AS, "CORE": unix.RLIMIT_CORE, "FSIZE": unix.RLIMIT_FSIZE, "NICE": unix.RLIMIT_NICE, "NOFILE": unix.RLIMIT_NOFILE,
		"SIGPENDING": unix.RLIMIT_SIGPENDING, "MSGQUEUE": unix.RLIMIT_MSGQUEUE, "STACK": unix.RLIMIT_STACK, "MEMLOCK": unix.RLIMIT_MEMLOCK, "RTTIME": unix.RLIMIT_RTTIME, "LOCKS": unix.RLIMIT_LOCKS,
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(limits[name], &l); err != nil {
		return 0
	}
	return l.Max
}

func (r *randomSpec) scheduling() {
	if r.once(4) {
		s := one(r.Rand, specs.Scheduler{Policy: specs.SchedOther, Nice: int32(r.IntN(19))}, specs.Scheduler{Policy: specs.SchedBatch, Nice: 2},
			specs.Scheduler{Policy: specs.SchedIdle}, specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1 + int32(r.IntN(90))},
			specs.Scheduler{Policy: specs.SchedRR, Priority: 3, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}})
		r.add(process(func(p *specs.Process) { p.Scheduler = &s }))
	}
	if r.once(4) {
		io := specs.LinuxIOPriority{Class: one(r.Rand, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE, specs.IOPRIO_CLASS_RT), Priority: r.IntN(8)}
		r.add(process(func(p *specs.Process) { p.IOPriority = &io }))
	}
	if r.once(4) {
		cpus := specs.CPUAffinity{Initial: one(r.Rand, "", "0", "0-1"), Final: one(r.Rand, "", "0", "1", "0,1")}
		r.add(process(func(p *specs.Process) { p.ExecCPUAffinity = &cpus }))
	}
	if r.once(6) {
		r.add(spec(func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} }))
	}
}

// accessTime are the modes of which a mount has one: of several the last counts in
// mini, and in runc not always.
var accessTime = regexp.MustCompile(`^r?(no|rel|norel|strict|nostrict)?atime$`)

// bindOptions is some of the list, with one mode of access times at most.
func (r *randomSpec) bindOptions(list []string, most int) []string {
	seen := false
	return slices.DeleteFunc(pick(r.Rand, list, most), func(o string) bool {
		again := seen && accessTime.MatchString(o)
		seen = seen || accessTime.MatchString(o)
		return again
	})
}

// mount adds a mount. Of the options of binds not nosymfollow, which runc loses
// where a path is made read-only; and nothing over a read-only tmpfs, in whose place
// runc then makes that read-only.
func (r *randomSpec) mount() {
	place := one(r.Rand, "/home", "/tmp", "/home/a/b", "/run/x", "/var", "/etc", "/home/c", "/opt/./d//e", "/lib64", "/dev/shm", "/dev/here")
	options := slices.DeleteFunc(slices.Clone(bindOptions), func(o string) bool { return strings.HasSuffix(o, "nosymfollow") })
	propagations := []string{"rslave", "rprivate", "rshared", "private", "slave", "shared", "unbindable"}
	switch r.IntN(11) {
	case 0, 1:
		options := pick(r.Rand, []string{"ro", "nosuid", "nodev", "noexec", "mode=711", "size=1m", "noatime", "uid=5", "nr_inodes=900", "rw", "sync", "rslave"}, 5)
		r.cover(place, mount("tmpfs", "tmpfs", place, options...))
		if slices.Contains(options, "ro") {
			r.readonly = append(r.readonly, place)
		}
	case 2, 3, 4:
		r.cover(place, bind(r.vol, place, r.bindOptions(options, 3)...))
	case 5, 6:
		r.cover(place, bind(r.vol, place, append([]string{"rbind"}, r.bindOptions(append(propagations, options...), 4)...)...))
	case 7:
		r.add(bind(r.vol+one(r.Rand, "/file", "/fifo", "/socket", "/below", "/below/.."), place+"/"+one(r.Rand, "f", "g"), r.bindOptions(options, 2)...))
	case 8:
		r.add(mount("none", "", one(r.Rand, "/sys", "/dev", "/dev/shm", "/home"), "bind", "remount", one(r.Rand, "ro", "noexec", "nosuid")))
	case 9:
		r.add(one(r.Rand, mount("mqueue", "mqueue", "/home/mq", "nosuid"), mount("proc", "proc", "/proc", "nosuid", one(r.Rand, "hidepid=invisible", "subset=pid", "ro")),
			mount("sysfs", "sysfs", "/sys", "ro"), mount("devpts", "devpts", "/dev/pts", "newinstance", "mode=0600", "ptmxmode=0666"),
			mount("cgroup", "cgroup", "/sys/fs/cgroup", pick(r.Rand, []string{"ro", "rw", "nosuid", "noexec", "nodev"}, 4)...)))
	case 10:
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000 + r.Uint32N(100), Size: 100 + r.Uint32N(10000)}}
		// runc forgets the source's flags where owners are mapped, if none is given.
		options := []string{one(r.Rand, "bind", "rbind"), one(r.Rand, "idmap", "ridmap", "rw"), "nosuid", "nodev", "noatime"}
		r.cover(place, spec(func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: r.vol, Destination: place, Options: options, UIDMappings: ids, GIDMappings: ids})
		}))
	}
}

// cover adds a mount at a place unless it would hide a read-only tmpfs.
func (r *randomSpec) cover(place string, mount oci.SpecOpts) {
	if !slices.ContainsFunc(r.readonly, func(p string) bool { return p == place || strings.HasPrefix(p, place+"/") }) {
		r.add(mount)
	}
}

func (r *randomSpec) namespacesAndNames() {
	if r.userns {
		r.add(userNamespace(100000 + r.Uint32N(5)*65536))
	}
	if r.once(3) {
		r.add(namespace(specs.CgroupNamespace, ""))
	}
	for _, kind := range slices.Sorted(maps.Keys(r.namespaces)) {
		switch r.IntN(16) {
		case 0:
			r.add(namespace(kind, r.namespaces[kind]))
		case 1:
			r.add(hostNamespace(kind))
		}
	}
	if r.once(12) {
		r.add(hostNamespace(specs.PIDNamespace))
	}
	if r.once(5) {
		offsets := map[string]specs.LinuxTimeOffset{one(r.Rand, "monotonic", "boottime"): {Secs: int64(r.IntN(1000)), Nanosecs: r.Uint32N(1e9)}}
		r.add(namespace(specs.TimeNamespace, ""), spec(func(s *specs.Spec) { s.Linux.TimeOffsets = offsets }))
	}
	if r.once(3) {
		r.add(oci.WithHostname("name-" + fmt.Sprint(r.IntN(10))))
	}
	if r.once(3) {
		all := []string{"net.ipv4.ip_unprivileged_port_start=70", "kernel.msgmax=9000", "kernel/shmmni=4000", "fs.mqueue.msg_max=12", "net.ipv4.ping_group_range=5 6", "net/ipv4/ip_forward=1", "kernel.domainname=x"}
		if r.once(2) {
			all = all[:len(all)-1] // the field and the parameter contradict each other
			r.add(spec(func(s *specs.Spec) { s.Domainname = "domain" }))
		}
		chosen := map[string]string{}
		for _, line := range pick(r.Rand, all, 3) {
			name, value, _ := strings.Cut(line, "=")
			chosen[name] = value
		}
		r.add(spec(func(s *specs.Spec) { s.Linux.Sysctl = chosen }))
	}
}

func (r *randomSpec) devices() {
	mode, uid := os.FileMode(r.Uint32N(0o1000)), r.Uint32N(3000)
	if r.once(3) {
		r.add(oci.WithAllDevicesAllowed, devices(pick(r.Rand, []specs.LinuxDevice{
			{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: &mode},
			{Path: "/dev/pipe", Type: "p", UID: &uid},
			{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5, FileMode: &mode},
			{Path: "/home/fuse", Type: "u", Major: 10, Minor: 229, GID: &uid},
			{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11, FileMode: &mode, UID: &uid, GID: &uid},
			{Path: "/dev/ptmx", Type: "c", Major: 5, Minor: 2},
		}, 4)...))
	}
}

func (r *randomSpec) linux() {
	// No device: its mask is of the host's null device in mini, of the container's in runc.
	masked := pick(r.Rand, []string{"/etc/hosts", "/usr", "/proc/version", "/not/there", "/home", "/proc/self/environ", "/sys/kernel", "/etc/group"}, 3)
	// A path of a shared root that is protected is shared in runc.
	readonly := pick(r.Rand, []string{"/etc", "/root", "/sys/kernel", "/home", "/proc/irq", "/dev/full", "/tmp"}, 3)
	propagation := ""
	if r.once(4) {
		propagation = one(r.Rand, "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable")
		if strings.HasSuffix(propagation, "shared") {
			masked, readonly = nil, nil
		}
	}
	none, ro, filter := r.once(6), r.once(3), r.once(4)
	r.add(spec(func(s *specs.Spec) {
		if none {
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		}
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, masked...)
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, readonly...)
		s.Linux.RootfsPropagation = propagation
		s.Root.Readonly = ro
		if filter {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64}, Syscalls: []specs.LinuxSyscall{
				{Names: []string{"uname", "nosuchcall"}, Action: specs.ActErrno}, {Names: []string{"sethostname"}, Action: specs.ActKillProcess},
			}}
		}
	}))
}

// hooks that run on the host write down how they were started.
func (r *randomSpec) hooks() {
	if !r.once(4) {
		return
	}
	for _, name := range pick(r.Rand, []string{"prestart", "createRuntime", "poststop"}, 3) {
		r.add(hookScript(name, `{ echo "$1 in $PWD as $(id -u) $(umask)"; env | sort; grep -o '"status":"[a-z]*"'; ls -d rootfs/bin rootfs/etc; } >>`+r.hooked+` 2>&1`))
	}
}

// poison is one thing that is wrong, or nearly.
func (r *randomSpec) poison() oci.SpecOpts {
	cwd := one(r.Rand, "relative", "", "/proc/self/fd/5", "/etc/passwd")
	adj := one(r.Rand, 1001, -1001)
	uid := one(r.Rand, uint32(1<<32-1), uint32(1<<32-2))
	limit := one(r.Rand, "RLIMIT_NONE", "NOFILE", "rlimit_nofile", "RLIMIT_CORE")
	cpus := one(r.Rand, "x", "9-1", "-1", "0-")
	kind := one(r.Rand, specs.NetworkNamespace, specs.IPCNamespace, specs.TimeNamespace)
	ns := one(r.Rand, "/etc/passwd", "/no/such", "relative", "/proc/1/ns/uts", "/proc/1/ns/net")
	sysctl := one(r.Rand, "kernel.core_pattern", "vm.swappiness", "kernel.hostname", "net..x", "fs.mqueue./../../kernel/core_pattern", "kernel.sem", "net.ipv4.conf.none.forwarding")
	propagation := one(r.Rand, "none", "RSHARED", "runbindable ")
	masked := one(r.Rand, "relative", "/../../etc", "")
	readonly := one(r.Rand, "relative", "/../../etc", "")
	clock := one(r.Rand, "realtime", "monotonic")
	relative := one(r.Rand, "relative", "")
	failing := one(r.Rand, "/no/such", "/bin/false", "/etc/passwd")
	action := one(r.Rand, "", specs.ActNotify, "NONE")
	group := one(r.Rand, "/../..", "..", "/", "bed//b", "./x") // runc leaves parents
	place := one(r.Rand, "", "relative/place", "/", "/proc", "/proc/self", "/sys")
	option := one(r.Rand, "none", "mode=99", "size=x", "rw")
	inProc := one(r.Rand, "/proc", "/proc/self", "/proc/uptime", "/proc/sys/kernel")
	node := one(r.Rand, "", "/", "/etc/passwd", "/dev/x/../y", "/dev/tty")
	nodeType := one(r.Rand, "c", "b", "x")
	return one(r.Rand,
		process(func(p *specs.Process) { p.Cwd = cwd }),
		process(func(p *specs.Process) { p.OOMScoreAdj = &adj }),
		process(func(p *specs.Process) { p.User.UID = uid }),
		process(func(p *specs.Process) { p.User.AdditionalGids = []uint32{1<<32 - 1} }),
		process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: limit, Soft: 2, Hard: 1}}
		}),
		process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 1, Hard: 1}, {Type: "RLIMIT_CORE", Soft: 2, Hard: 2}}
		}),
		process(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: "SCHED_NONE"} }),
		process(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: "NONE", Priority: 9} }),
		process(func(p *specs.Process) { p.ExecCPUAffinity = &specs.CPUAffinity{Initial: cpus} }),
		spec(func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, s.Linux.Namespaces[0]) }),
		spec(func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "none"})
		}),
		namespace(kind, ns),
		spec(func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{sysctl: "1"}
		}),
		spec(func(s *specs.Spec) { s.Linux.RootfsPropagation = propagation }),
		spec(func(s *specs.Spec) { s.Linux.MaskedPaths = []string{masked} }),
		spec(func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{readonly} }),
		spec(func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{clock: {Secs: 1}}
		}),
		spec(func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "NONE"} }),
		spec(func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: relative}}} }),
		spec(func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: failing}}}
		}),
		spec(func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: action} }),
		spec(func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"NONE"}}
		}),
		spec(func(s *specs.Spec) { s.Linux.CgroupsPath = group }),
		mount("tmpfs", "tmpfs", place, option),
		bind(r.vol+"/none", "/home"), bind(r.vol+"/file", "/etc"), bind(r.vol, "/etc/passwd"), bind(r.vol, "/home", "size=3"),
		bind(r.vol, inProc), bind("/proc", "/proc"), bind("/proc/sys", "/proc"),
		mount("none", "none", "/etc", "remount", "ro"), mount("", r.vol, "/home"), mount("bind", r.vol, "/home"), mount("none", r.vol, "/home", "rbind"),
		devices(specs.LinuxDevice{Path: node, Type: nodeType, Major: 1, Minor: 3}),
	)
}
