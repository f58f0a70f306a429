// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		in, out []string
		home    int
	}{
		{nil, []string{"HOME="}, 0},
		{[]string{"A=1", "B=2", "A=3"}, []string{"A=3", "B=2", "HOME="}, 2},
		{[]string{"HOME=/x", "A=1"}, []string{"HOME=/x", "A=1"}, -1},
		{[]string{"HOME=", "A=1"}, []string{"HOME=", "A=1"}, 0},
		{[]string{"HOME=/x", "HOME="}, []string{"HOME="}, 0},
		{[]string{"odd", "A="}, []string{"odd", "A=", "HOME="}, 2},
	} {
		out, home := environment(c.in)
		if !reflect.DeepEqual(out, c.out) || home != c.home {
			t.Errorf("%q: %q, HOME at %d; want %q, %d", c.in, out, home, c.out, c.home)
		}
	}
}

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		arg0 string
		env  []string
		want string
	}{
		{"/bin/sh", []string{"PATH=/x"}, "/bin/sh"},
		{"./sh", []string{"PATH=/x"}, "./sh"},
		{"sh", []string{"PATH=/sbin:/bin/"}, "/sbin/sh /bin/sh"},
		{"sh", []string{"PATH=/a", "PATH=/b"}, "/b/sh"},
		{"sh", []string{"PATH=:/b"}, "./sh /b/sh"},
		{"sh", nil, "/usr/local/sbin/sh /usr/local/bin/sh /usr/sbin/sh /usr/bin/sh /sbin/sh /bin/sh"},
	} {
		if got := strings.Join(candidates(c.arg0, c.env), " "); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.arg0, c.env, got, c.want)
		}
	}
}

func TestSysctlPath(t *testing.T) {
	for in, want := range map[string]string{
		"net.ipv4.ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4/conf/eth0.100/rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
		"net.ipv4.conf.eth0/100.rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
		"kernel":                           "kernel",
	} {
		if got := sysctlPath(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestCheckSysctl: only what belongs to a namespace that the container has, and
// nothing that leads out of /proc/sys.
func TestCheckSysctl(t *testing.T) {
	all := []specs.LinuxNamespace{{Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}}
	for name, allowed := range map[string]bool{
		"net.ipv4.ip_forward": true, "kernel.shmmax": true, "fs.mqueue.msg_max": true, "kernel.domainname": true,
		"kernel.hostname": false, "kernel.core_pattern": false, "vm.swappiness": false, "fs.file-max": false,
		"net/../kernel/core_pattern": false, "/net/x": false, "net": false,
	} {
		err := checkSysctl(&specs.Spec{Linux: &specs.Linux{Namespaces: all}}, name)
		if (err == nil) != allowed || err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
		if checkSysctl(&specs.Spec{Linux: &specs.Linux{}}, name) == nil {
			t.Errorf("%s is allowed without a namespace", name)
		}
	}
}

func TestCapabilities(t *testing.T) {
	const chown, netRaw, admin = 1 << 0, 1 << 13, 1 << 21
	p := capabilities(&specs.LinuxCapabilities{
		Bounding:    []string{"CAP_CHOWN", "cap_net_raw", "CAP_OF_TOMORROW", "CAP_SYS_ADMIN"},
		Permitted:   []string{"CAP_CHOWN", "CAP_NET_RAW"},
		Effective:   []string{"CAP_CHOWN", "CAP_SYS_ADMIN"}, // the second is not permitted
		Inheritable: []string{"CAP_NET_RAW"},
		Ambient:     []string{"CAP_NET_RAW", "CAP_CHOWN"}, // the second is not inheritable
	}, chown|netRaw)
	want := capPlan{bounding: chown | netRaw, permitted: chown | netRaw, effective: chown, inheritable: netRaw, ambient: netRaw, short: true}
	if p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
	if p := capabilities(nil, chown|netRaw|admin); p != (capPlan{}) {
		t.Errorf("none: %+v", p)
	}
}

func TestUngranted(t *testing.T) {
	const chown = 1 << 0
	granted := &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}, Effective: []string{"CAP_CHOWN"}, Permitted: []string{"cap_chown"}}
	if p := capabilities(granted, chown); p.short {
		t.Errorf("%+v", p)
	}
	if err := ungranted(granted, chown); err != nil {
		t.Error(err)
	}
	some := &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_X"}, Ambient: []string{"CAP_X", "CAP_KILL"}}
	if err := ungranted(some, chown); err == nil || err.Error() != "process.capabilities: not granted: CAP_X, CAP_KILL" {
		t.Errorf("%v", err)
	}
}

func TestIDMap(t *testing.T) {
	m := parseIDMap([]byte("         0     100000      65536\n     70000          5          1\n"))
	want := idMap{{ContainerID: 0, HostID: 100000, Size: 65536}, {ContainerID: 70000, HostID: 5, Size: 1}}
	if !reflect.DeepEqual(m, want) {
		t.Fatalf("got %v", m)
	}
	for in, out := range map[uint32]uint32{0: 100000, 65535: 165535, 70000: 5} {
		if got, ok := m.host(in); !ok || got != out {
			t.Errorf("%d: %d, %v", in, got, ok)
		}
	}
	if _, ok := m.host(65536); ok {
		t.Error("an id outside the map has a host id")
	}
	if got := m.text(); got != "0 100000 65536\n70000 5 1\n" {
		t.Errorf("text %q", got)
	}
	if id, ok := idMap(nil).host(7); id != 7 || !ok {
		t.Error("no map is not the host itself")
	}
}

func TestFindHome(t *testing.T) {
	passwd := "# comment\nroot:x:0:0:root:/root:/bin/sh\nbroken\nempty:x:7:7:::\nuser:x:1000:1000::/home/user:/bin/sh\nagain:x:1000:1000::/other:\n"
	for uid, want := range map[uint32]string{0: "/root", 1000: "/home/user", 7: "/", 5: "/"} {
		if got := findHome([]byte(passwd), uid); got != want {
			t.Errorf("%d: %s, want %s", uid, got, want)
		}
	}
}

// TestValidate walks what is refused, with the code of its kind and the field's
// name.
func TestValidate(t *testing.T) {
	valid := func() *specs.Spec { return newSpec(t, "true") }
	if err := validate(&Config{Spec: valid()}); err != nil {
		t.Fatal(err)
	}
	invalid, missing := errdefs.IsInvalidArgument, errdefs.IsNotImplemented
	for field, c := range map[string]struct {
		change func(*specs.Spec)
		class  func(error) bool
	}{
		"ociVersion":                     {func(s *specs.Spec) { s.Version = "1.0" }, invalid},
		"annotations":                    {func(s *specs.Spec) { s.Annotations = map[string]string{"": "x"} }, invalid},
		"linux":                          {func(s *specs.Spec) { s.Linux = nil }, invalid},
		"root.path":                      {func(s *specs.Spec) { s.Root.Path = "" }, invalid},
		"process":                        {func(s *specs.Spec) { s.Process = nil }, invalid},
		"process.args":                   {func(s *specs.Spec) { s.Process.Args = nil }, invalid},
		"process.cwd":                    {func(s *specs.Spec) { s.Process.Cwd = "tmp" }, invalid},
		"process.user.additionalGids[1]": {func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{1<<32 - 2, 1<<32 - 1} }, invalid},
		"process.user":                   {func(s *specs.Spec) { s.Process.User.UID = 1<<32 - 1 }, invalid},
		"process.oomScoreAdj":            {func(s *specs.Spec) { n := 1001; s.Process.OOMScoreAdj = &n }, invalid},
		"process.rlimits[1].type":        {func(s *specs.Spec) { s.Process.Rlimits = append(s.Process.Rlimits, s.Process.Rlimits[0]) }, invalid},
		"process.rlimits[2].type": {func(s *specs.Spec) { // the case of letters does not tell two apart
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CPU"}, {Type: "RLIMIT_NOFILE"}, {Type: "rlimit_nofile"}}
		}, invalid},
		"process.rlimits[0].soft":    {func(s *specs.Spec) { s.Process.Rlimits[0].Soft = 4096 }, invalid},
		"process.apparmorProfile":    {func(s *specs.Spec) { s.Process.ApparmorProfile = "a\nb" }, invalid},
		"process.selinuxLabel":       {func(s *specs.Spec) { s.Process.SelinuxLabel = "a\x00b" }, invalid},
		"process.scheduler.policy":   {func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{} }, invalid},
		"process.scheduler.nice":     {func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 20} }, invalid},
		"process.scheduler.priority": {func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle, Priority: 1} }, invalid},
		"process.scheduler.flags[0]": {func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle, Flags: []specs.LinuxSchedulerFlag{"x"}}
		}, invalid},
		"process.scheduler":        {func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedRR, Period: 1} }, invalid},
		"process.ioPriority.class": {func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{} }, invalid},
		"process.ioPriority.priority": {func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}
		}, invalid},
		"process.execCPUAffinity.initial": {func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "x"} }, invalid},
		"process.execCPUAffinity.final":   {func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "3-1"} }, invalid},
		"hooks.poststop[0].path":          {func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}} }, invalid},
		"linux.mountLabel":                {func(s *specs.Spec) { s.Linux.MountLabel = `a"b` }, invalid},
		"linux.maskedPaths[1]":            {func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/proc/keys", "proc/keys"} }, invalid},
		"linux.readonlyPaths[0]":          {func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{""} }, invalid},
		"linux.intelRdt":                  {func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "a/b"} }, invalid},
		"linux.memoryPolicy.mode":         {func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{} }, invalid},
		"linux.memoryPolicy.nodes":        {func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind} }, invalid},
		"linux.memoryPolicy.flags[0]": {func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Flags: []specs.MemoryPolicyFlagType{"x"}}
		}, invalid},
		"linux.netDevices":         {func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a/b": {}} }, invalid},
		"linux.personality.domain": {func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "BSD"} }, invalid},
		"linux.personality.flags": {func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"x"}}
		}, invalid},
		"linux.namespaces": {func(s *specs.Spec) { s.Linux.Namespaces = nil; s.Hostname = "" }, missing},
		"linux.namespaces[5].type": {func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace})
		}, invalid},
		"linux.namespaces[0].path":  {func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "relative" }, invalid},
		"linux.uidMappings":         {func(s *specs.Spec) { s.Linux.Namespaces[0].Type = specs.UserNamespace }, invalid},
		"hostname":                  {func(s *specs.Spec) { s.Linux.Namespaces[2].Type = specs.CgroupNamespace }, invalid},
		"linux.timeOffsets":         {func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}} }, invalid},
		"linux.sysctl":              {func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.core_pattern": "x"} }, invalid},
		"config.json: process.user": {func(s *specs.Spec) { s.Process.User.GID = 1<<32 - 1 }, invalid},
	} {
		s := valid()
		c.change(s)
		err := validate(&Config{Spec: s})
		if err == nil || !c.class(err) || !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestVersion has the examples of semver.org, with 1 in front, and then some.
func TestVersion(t *testing.T) {
	for _, v := range []string{
		"1.0.0", "1.3.0", "1.10.20", "1.99.0", "1.0.2-dev", "1.1.0-rc.3", "1.3.0+dev", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-0.3.7",
		"1.0.0-x.7.z.92", "1.0.0-x-y-z.--", "1.0.0-alpha+001", "1.0.0+20130313144700", "1.0.0-beta+exp.sha.5114f85", "1.0.0+21AF26D3----117B344092BD", "1.0.0-0A",
	} {
		if err := checkVersion(v); err != nil {
			t.Error(err)
		}
	}
	for _, v := range []string{
		"", "1", "1.", "1.0", "1.foo", "1.0.0.0", "01.0.0", "1.00.0", "1.0.01", "1.0.x", "1.0.-1", " 1.0.0", "1.0.0 ", "v1.0.0",
		"1.0.0-", "1.0.0+", "1.0.0-a..b", "1.0.0-01", "1.0.0-a_b", "1.0.0+a+b", "1.0.0-é", "0.1.0", "2.0.0", "10.0.0",
	} {
		if err := checkVersion(v); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", v, err)
		}
	}
}

func TestParseNumbers(t *testing.T) {
	for in, want := range map[string]string{
		"": "[]", "0": "[1]", " 0-3, ,7,": "[8f]", "64": "[0 1]", "99": "[0 800000000]",
		"100": "error", "-1": "error", "1-": "error", "3-2": "error", "a": "error", "0-4294967296": "error",
	} {
		set, err := parseNumbers(in, 100)
		got := fmt.Sprintf("%x", []uint64(set))
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s (%v), want %s", in, got, err, want)
		}
	}
}
