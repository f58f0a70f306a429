// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/sys"
)

// FuzzSpec compiles whatever config.json passes as far as it goes without a process:
// no panic, and what is refused is refused before anything is made.
func FuzzSpec(f *testing.F) {
	for _, c := range planCases {
		spec := newSpec(f, "sh", "-c", "true")
		c.change(spec)
		text, err := json.Marshal(spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add(fullSpec(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		spec := &specs.Spec{}
		if json.Unmarshal(text, spec) != nil || len(text) > 1<<14 {
			return
		}
		var err error
		m := &maker{Config: &Config{ID: "id", Bundle: "/bundle", Spec: spec}, ns: &namespaces{join: map[int]*os.File{}}}
		if validate(m.Config) != nil || m.compileFilter() != nil {
			return
		}
		for _, n := range spec.Linux.Namespaces {
			if flag := nsFlag(n.Type); n.Path == "" {
				m.ns.create |= flag
			} else {
				m.ns.join[flag] = os.Stdin
			}
		}
		_ = newHooks(m.Bundle, m.ID, spec)
		_, _, _ = timeOffsets(spec), rootPath(m.Bundle, spec), spec.Linux.RootfsPropagation
		m.null, m.proc = os.Stdin, os.Stdin
		m.gate = &gate{}
		if m.gate.conn, m.end, err = sys.SocketPair(); err != nil {
			t.Fatal(err)
		}
		defer m.gate.conn.Close()
		defer m.end.Close()
		if m.mounts, err = mount.Prepare(&mount.Config{
			Spec: spec, Bundle: m.Bundle, RootPath: rootPath(m.Bundle, spec), UserNS: m.ns.create&unix.CLONE_NEWUSER != 0 || m.ns.joinsUser(), OwnNetNS: true,
			Terminal: spec.Process.Terminal, CgroupMount: "/sys/fs/cgroup", CgroupDir: "/sys/fs/cgroup/x", MapNS: m.mapNS,
		}); err != nil {
			return
		}
		defer m.mounts.Close()
		plan, err := m.compile()
		if err != nil {
			return
		}
		p := plan.program()
		defer p.Close()
		if p.Dump() == "" || m.mounts.Dump() == "" {
			t.Error("an empty plan")
		}
	})
}

// fullSpec has a value in each part of the specification that the plans know, from
// which others can be made.
func fullSpec(f *testing.F) []byte {
	spec := newSpec(f, "sh")
	extra := `{
	"process": {"args": ["sh"], "cwd": "/", "env": ["A=b"], "umask": 18, "noNewPrivileges": true, "oomScoreAdj": 5,
		"user": {"uid": 7, "gid": 8, "umask": 23, "additionalGids": [1, 2]},
		"rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}],
		"capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]},
		"scheduler": {"policy": "SCHED_OTHER", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
		"execCPUAffinity": {"initial": "0", "final": "0-1"}},
	"hostname": "h", "domainname": "d",
	"hooks": {"prestart": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}], "createContainer": [{"path": "/x"}], "poststop": [{"path": "/y"}]},
	"mounts": [
		{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "hidepid=invisible", "subset=pid"]},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "mode=755", "size=64k"]},
		{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "gid=5"]},
		{"destination": "/a", "type": "bind", "source": "/b", "options": ["rbind", "rro", "noatime", "rslave", "ridmap"],
			"uidMappings": [{"containerID": 0, "hostID": 9, "size": 5}], "gidMappings": [{"containerID": 0, "hostID": 9, "size": 5}]},
		{"destination": "/a", "type": "none", "options": ["bind", "remount", "noexec"]},
		{"destination": "/c", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "nosuid", "nodev"]},
		{"destination": "/o", "type": "overlay", "source": "overlay", "options": ["lowerdir=/l:/m", "upperdir=/u", "workdir=/w"]},
		{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}],
	"linux": {
		"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}, {"type": "cgroup"}, {"type": "time"}, {"type": "user"}],
		"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}], "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
		"timeOffsets": {"monotonic": {"secs": 5, "nanosecs": 6}}, "sysctl": {"net.ipv4.ip_forward": "1", "kernel.sem": "1 2 3 4"},
		"devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 1, "gid": 2}, {"path": "/dev/y", "type": "p"}],
		"maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"], "rootfsPropagation": "rslave", "personality": {"domain": "LINUX32"},
		"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
			"syscalls": [{"names": ["read", "personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}]},
				{"names": ["kill"], "action": "SCMP_ACT_TRAP"}]}}}`
	if err := json.Unmarshal([]byte(extra), spec); err != nil {
		f.Fatal(err)
	}
	if err := validate(&Config{ID: "id", Bundle: "/bundle", Spec: spec}); err != nil {
		f.Fatal(err) // or it would lead nowhere
	}
	text, err := json.Marshal(spec)
	if err != nil {
		f.Fatal(err)
	}
	return text
}

// FuzzSysctl: what is let through is a parameter of a namespace, by any name.
func FuzzSysctl(f *testing.F) {
	for _, s := range []string{"net.ipv4.ip_forward", "kernel/sem", "fs.mqueue.msg_max", "net/../kernel/core_pattern", "net.ipv4.conf.eth0/100.x", "kernel.domainname", "net//x", "net.", "fs.mqueue/../x"} {
		f.Add(s)
	}
	spec := &specs.Spec{Linux: &specs.Linux{}}
	for _, n := range nsFlags {
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: n.kind})
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkSysctl(spec, name) != nil {
			return
		}
		at := path.Clean("sys/" + sysctlPath(name))
		if !strings.HasPrefix(at, "sys/net/") && at != "sys/net" && !strings.HasPrefix(at, "sys/fs/mqueue") && at != "sys/kernel/domainname" &&
			!slices.Contains(ipcSysctls, strings.TrimPrefix(at, "sys/")) {
			t.Errorf("%q is %s", name, at)
		}
	})
}

// FuzzStreamName: what an image of a checkpoint calls a stream goes to criu only if
// it is one name of a file or pipe, and nothing more.
func FuzzStreamName(f *testing.F) {
	for _, s := range []string{"pipe:[12]", "file[1f:2]", "file[:]", "pipe:[-1]", "file[1:2]x", "extRootNetNS", "file[ffffffffffffffff:0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if isStreamName(s) && (len(s) > 64 || strings.Trim(s, "filepb:[]0123456789acd") != "" || !strings.HasSuffix(s, "]")) {
			t.Errorf("%q passes", s)
		}
	})
}

// FuzzHome reads whatever a container's /etc/passwd holds.
func FuzzHome(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n7:::\n:::7:::\nx:x:7:7::/h\x00ome:x", uint32(7))
	f.Fuzz(func(t *testing.T, text string, uid uint32) {
		if home := findHome([]byte(text), uid); home == "" || strings.Contains(home, "\n") || strings.Contains(home, ":") {
			t.Errorf("home is %q", home)
		}
	})
}
