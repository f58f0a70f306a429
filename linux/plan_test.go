// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/sys"
)

var update = flag.Bool("update", false, "write the golden files anew")

// planCase changes the default spec into one whose order is of interest.
type planCase struct {
	name   string
	change func(*specs.Spec)
	join   int // CLONE_NEW* flags of namespaces that are joined and not made
}

var planCases = []planCase{
	{name: "default", change: func(*specs.Spec) {}},
	{name: "terminal", change: func(s *specs.Spec) { s.Process.Terminal = true }},
	{name: "user", change: func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
		s.Linux.GIDMappings = s.Linux.UIDMappings
		s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5, 6}}
	}},
	{name: "label", change: func(s *specs.Spec) {
		s.Process.SelinuxLabel, s.Linux.MountLabel = "system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"
		s.Process.NoNewPrivileges = true
	}},
	{name: "seccomp", change: func(s *specs.Spec) {
		s.Process.NoNewPrivileges = false
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/agent", Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat"}, Action: specs.ActNotify}}}
	}},
	{name: "pod", join: unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWUSER, change: func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Process.Capabilities.Inheritable = []string{"CAP_NET_RAW"}
		s.Process.Capabilities.Ambient = []string{"CAP_NET_RAW", "CAP_CHOWN"}
		s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 3}
		s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0-1", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
	}},
}

// share is the case pod with a pid namespace that is joined as well.
func share(t *testing.T) planCase {
	t.Helper()
	for _, c := range planCases {
		if c.name == "pod" {
			c.name, c.join = "share", c.join|unix.CLONE_NEWPID
			return c
		}
	}
	t.Fatal("no case pod")
	return planCase{}
}

// TestInitPlan compares the whole order in which containers are made with
// testdata/NAME.golden: init's steps and what the shim mounts meanwhile.
func TestInitPlan(t *testing.T) {
	takes := procfsTakesPIDNS
	t.Cleanup(func() { procfsTakesPIDNS = takes })
	procfsTakesPIDNS = func() bool { return true }
	for _, c := range append(planCases, share(t)) {
		t.Run(c.name, func(t *testing.T) {
			bundle := "/bundle"
			spec := newSpec(t, "sh", "-c", "true")
			spec.Linux.CgroupsPath = "/mini/test"
			c.change(spec)
			m := &maker{Config: &Config{ID: "id", Bundle: bundle, Spec: spec}, ns: &namespaces{join: map[int]*os.File{}}}
			for i, n := range spec.Linux.Namespaces {
				flag := nsFlag(n.Type)
				if flag&c.join == 0 {
					m.ns.create |= flag
					continue
				}
				spec.Linux.Namespaces[i].Path = "/run/namespace"
				m.ns.join[flag] = os.Stdin
			}
			var err error
			if err = m.compileFilter(); err != nil {
				t.Fatal(err)
			}
			m.null, m.proc = os.Stdin, os.Stdin
			m.gate = &gate{}
			if m.gate.conn, m.end, err = sys.SocketPair(); err != nil {
				t.Fatal(err)
			}
			defer m.gate.conn.Close()
			defer m.end.Close()
			if m.mounts, err = mount.Prepare(&mount.Config{Spec: spec, Bundle: bundle, RootPath: bundle + "/rootfs", UserNS: m.ns.create&unix.CLONE_NEWUSER != 0 || m.ns.joinsUser(), OwnNetNS: true, Terminal: spec.Process.Terminal}); err != nil {
				t.Fatal(err)
			}
			defer m.mounts.Close()
			plan, err := m.compile()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.name, plan.program().Dump()+"\n"+m.mounts.Dump())
		})
	}
}

func TestExecPlan(t *testing.T) {
	conn, end, err := sys.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer end.Close()
	adj := 100
	proc := &specs.Process{Args: []string{"sh"}, Cwd: "/tmp", Env: []string{"PATH=/sbin:/bin"}, Terminal: true, OOMScoreAdj: &adj, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 64, Hard: 128}}, User: specs.User{UID: 7, GID: 8}}
	env, at := environment(proc.Env)
	prog := fork.NewProgram()
	home := fork.New(prog, [homeLen]byte{})
	ep := execPlan{
		prog: prog, home: home, conn: end, proc: os.Stdin, init: os.Stdin, joins: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUSER, userns: true, mark: true, root: os.Stdin,
		identity: identity{proc: proc, null: os.Stdin, lastCap: 1, keyring: keyring{name: "_ses.id"}, lsm: lsm{profile: "profile", stacked: true, label: "u:r:t:s0", keyring: true}, command: newCommand("sh", proc.Args, env, at, &home[1])},
	}
	golden(t, "exec", ep.program().Dump())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s line %d: got\n%s\nwant\n%s\n(go test ./linux -update writes it anew)", file, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: got %d lines, want %d", file, len(g), len(w))
}
