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
	f.Fuzz(func(t *testing.T, text []byte) {
		spec := &specs.Spec{}
		if json.Unmarshal(text, spec) != nil || len(text) > 1<<14 {
			return
		}
		var err error
		m := &maker{Config: &Config{ID: "id", Bundle: "/bundle", Spec: spec}, ns: &namespaces{join: map[int]*os.File{}}}
		if validate(m.Config) != nil {
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
		m.gate = &gate{fifo: os.Stdin}
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
		if home := findHome(strings.NewReader(text), uid); home == "" || strings.Contains(home, "\n") || strings.Contains(home, ":") {
			t.Errorf("home is %q", home)
		}
	})
}
