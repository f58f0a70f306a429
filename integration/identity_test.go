// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// process changes the process of a spec.
func process(change func(p *specs.Process)) oci.SpecOpts {
	return spec(func(s *specs.Spec) { change(s.Process) })
}

func TestIdentity(t *testing.T) {
	umask := uint32(0o007)
	oom := 123
	const status = "grep -E '^(%s):' /proc/self/status | tr -s '\t' ' '"
	tests := []struct {
		name   string
		opt    oci.SpecOpts
		script string
		want   string
	}{
		{"root", process(func(*specs.Process) {}), "id -u; id -g; id -G", "0\n0\n0"},
		{
			"ids", process(func(p *specs.Process) { p.User = specs.User{UID: 1234, GID: 5678, AdditionalGids: []uint32{10, 20}} }),
			"id -u; id -g; id -G", "1234\n5678\n5678 10 20",
		},
		{
			"large ids", process(func(p *specs.Process) {
				p.User = specs.User{UID: 3_000_000_000, GID: 4_294_967_294, AdditionalGids: []uint32{4_294_967_293}}
			}), fmt.Sprintf(status, "Uid|Gid|Groups"),
			"Uid: 3000000000 3000000000 3000000000 3000000000\nGid: 4294967294 4294967294 4294967294 4294967294\nGroups: 4294967293 ",
		},
		{
			"groups", process(func(p *specs.Process) { p.User = specs.User{AdditionalGids: []uint32{7, 8, 9}} }),
			fmt.Sprintf(status, "Uid|Gid|Groups"), "Uid: 0 0 0 0\nGid: 0 0 0 0\nGroups: 7 8 9 ",
		},
		{"umask", process(func(p *specs.Process) { p.User.Umask = &umask }), "umask", "0007"},
		{"default umask", process(func(*specs.Process) {}), "umask", "0022"},
		{"no new privileges", process(func(p *specs.Process) { p.NoNewPrivileges = true }), fmt.Sprintf(status, "NoNewPrivs"), "NoNewPrivs: 1"},
		{"new privileges", process(func(p *specs.Process) { p.NoNewPrivileges = false }), fmt.Sprintf(status, "NoNewPrivs"), "NoNewPrivs: 0"},
		{"OOM score", process(func(p *specs.Process) { p.OOMScoreAdj = &oom }), "cat /proc/self/oom_score_adj", "123"},
		{"limits", process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 300, Hard: 400}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 0}, {Type: "RLIMIT_NPROC", Soft: 999, Hard: 999},
			}
		}), "ulimit -Sn; ulimit -Hn; ulimit -c; awk '/^Max processes/ {print $3}' /proc/self/limits", "300\n400\n0\n999"},
		{
			"environment", process(func(p *specs.Process) { p.Env = append(p.Env, "A=1", "B=two words", "A=2") }),
			`echo "$A $B"; env | grep -c ^A=`, "2 two words\n1",
		},
		{"home of root", process(func(*specs.Process) {}), "echo $HOME", "/root"},
		{"home of a user", process(func(p *specs.Process) { p.User = specs.User{UID: 1000, GID: 1000} }), "echo $HOME", "/home/mini"},
		{"home of nobody known", process(func(p *specs.Process) { p.User = specs.User{UID: 4321, GID: 1000} }), "echo $HOME", "/"},
		{"home that is set", process(func(p *specs.Process) { p.Env = append(p.Env, "HOME=/var") }), "echo $HOME", "/var"},
		{"working directory", process(func(p *specs.Process) { p.Cwd = "/usr/sbin" }), "pwd", "/usr/sbin"},
		{"a missing working directory is made", process(func(p *specs.Process) { p.Cwd = "/not/there/yet" }), "pwd", "/not/there/yet"},
		{"session", process(func(*specs.Process) {}), "cut -d' ' -f5,6 /proc/1/stat", "1 1"},
	}
	each(t, func(t *testing.T, h *harness) {
		for _, test := range tests {
			out := h.prints(test.script, test.opt)
			h.equal(test.name, out, strings.TrimRight(test.want, "\n"))
		}
	})
}

// TestSignals: none is blocked or ignored. glibc's posix_spawn, through which
// make starts us, ignores its own two, 32 and 33, and that is inherited.
func TestSignals(t *testing.T) {
	const glibc = 1<<31 | 1<<32
	each(t, func(t *testing.T, h *harness) {
		// Without a shell, which ignores SIGQUIT for what it runs.
		out, errs, code := h.run(oci.WithProcessArgs("sed", "-n", `s/^Sig\(Blk\|Ign\):.//p`, "/proc/self/status"))
		if code != 0 || len(strings.Fields(out)) != 2 {
			t.Fatalf("exit code %d, stdout %q, stderr %q", code, out, errs)
		}
		for mask := range strings.FieldsSeq(out) {
			signals, err := strconv.ParseUint(mask, 16, 64)
			h.must(err)
			if signals&^glibc != 0 {
				t.Errorf("blocked and ignored signals: %q", out)
			}
		}
	})
}

func TestCapabilities(t *testing.T) {
	caps := func(names ...string) []string { return names }
	tests := []struct {
		name string
		caps *specs.LinuxCapabilities
		uid  uint32
		want string // inheritable permitted effective bounding ambient
	}{
		{"none", &specs.LinuxCapabilities{}, 0, "0 0 0 0 0"},
		{"root's", &specs.LinuxCapabilities{
			Bounding: caps("CAP_CHOWN", "CAP_KILL"), Permitted: caps("CAP_CHOWN", "CAP_KILL"), Effective: caps("CAP_CHOWN"),
		}, 0, "0 21 21 21 0"}, // root gets its bounding set at execve
		{"a user's are lost at execve", &specs.LinuxCapabilities{
			Bounding: caps("CAP_CHOWN"), Permitted: caps("CAP_CHOWN"), Effective: caps("CAP_CHOWN"),
		}, 1000, "0 0 0 1 0"},
		{"a user's ambient ones are kept", &specs.LinuxCapabilities{
			Bounding: caps("CAP_CHOWN"), Permitted: caps("CAP_CHOWN"), Effective: caps("CAP_CHOWN"), Inheritable: caps("CAP_CHOWN"), Ambient: caps("CAP_CHOWN"),
		}, 1000, "1 1 1 1 1"},
		{"inheritable", &specs.LinuxCapabilities{
			Bounding: caps("CAP_CHOWN"), Permitted: caps("CAP_CHOWN"), Inheritable: caps("CAP_CHOWN"),
		}, 0, "1 1 1 1 0"},
	}
	each(t, func(t *testing.T, h *harness) {
		for _, test := range tests {
			out := h.prints(`for c in Inh Prm Eff Bnd Amb; do sed -n "s/^Cap$c:\t0*\([0-9a-f]\)/\1/p" /proc/self/status; done`,
				process(func(p *specs.Process) {
					p.User = specs.User{UID: test.uid, GID: test.uid}
					p.Capabilities = test.caps
				}))
			h.equal(test.name, strings.Join(strings.Fields(out), " "), test.want)
		}
	})
}

// TestUngrantedCapability: a capability that there is not is a warning, of a
// container and of an exec, and no error.
func TestUngrantedCapability(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		add := func(name string) oci.SpecOpts {
			return process(func(p *specs.Process) { p.Capabilities.Bounding = append(p.Capabilities.Bounding, name) })
		}
		c := h.start(add("CAP_OF_TOMORROW"), forever())
		c.expect("ready")
		if out, errs, code := c.execs(add("CAP_OF_MY_EXEC"), sh("echo lives")); out != "lives\n" {
			t.Errorf("exec: %q %q %d", out, errs, code)
		}
		c.kill()
		// The exec has the container's, too.
		for _, names := range []string{"CAP_OF_TOMORROW", "CAP_OF_TOMORROW, CAP_OF_MY_EXEC"} {
			h.eventually(func() error {
				if h.mini() && !strings.Contains(h.d.Log(), "process.capabilities: not granted: "+names) {
					return fmt.Errorf("no warning of %s", names)
				}
				return nil
			})
		}
	})
}

// TestOpenFilesLimit: Go raises the soft limit on open files of the shim; the
// container must not get the raised one.
func TestOpenFilesLimit(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("ulimit -Sn", process(func(p *specs.Process) { p.Rlimits = nil }))
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", 1))
		h.must(err)
		for line := range strings.Lines(string(limits)) {
			if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
				// init of the bed is a Go program too, started as containerd was.
				hard := strings.Fields(rest)[1]
				if out != strings.Fields(rest)[0] && out != hard {
					t.Errorf("soft limit %s, want one of %s", out, rest)
				}
			}
		}
	})
}

// TestFewOpenFiles: a limit on open files is the program's affair. Nothing on the way to
// it opens a file once the limit holds; runc's way does, and says so.
func TestFewOpenFiles(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		limit := func(n uint64) oci.SpecOpts {
			return process(func(p *specs.Process) {
				p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: n, Hard: n}}
			})
		}
		c := h.start(forever())
		c.expect("ready")
		for _, n := range []uint64{0, 3} {
			if !h.mini() {
				_, err := h.tryCreate(h.container(limit(n), sh("echo hello")))
				if err == nil || !strings.Contains(err.Error(), "too many open files") {
					t.Errorf("limit %d: %v", n, err)
				}
				continue
			}
			for name, opts := range map[string][]oci.SpecOpts{
				"plain":          nil,
				"seccomp":        {seccomp.WithDefaultProfile()},
				"user namespace": {userNamespace(100000)},
				"another user":   {oci.WithUser("1000:1000")},
			} {
				opts := append(slices.Clone(opts), limit(n))
				h.equal(fmt.Sprintf("%s, limit %d", name, n), h.prints("ulimit -n; echo hello", opts...), fmt.Sprintf("%d\nhello", n))
			}
			for name, opt := range map[string]oci.SpecOpts{"exec": limit(n), "exec with a terminal": oci.Compose(limit(n), oci.WithTTY)} {
				out, errs, _ := c.execs(opt, sh("ulimit -n; echo hello"))
				h.equal(fmt.Sprintf("%s, limit %d: %s", name, n, errs), strings.ReplaceAll(out, "\r", ""), fmt.Sprintf("%d\nhello\n", n))
			}
		}
		c.kill()
	})
}

func TestBadIdentity(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for what, opt := range map[string]oci.SpecOpts{
			"unknown limit":  process(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NONE", Soft: 1, Hard: 1}} }),
			"relative cwd":   process(func(p *specs.Process) { p.Cwd = "relative" }),
			"no arguments":   process(func(p *specs.Process) { p.Args = nil }),
			"cwd is no dir":  process(func(p *specs.Process) { p.Cwd = "/etc/passwd" }),
			"soft over hard": process(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 20, Hard: 10}} }),
		} {
			task, err := h.container(sh("echo"), opt).NewTask(h.ctx, cio.NullIO)
			if err == nil {
				err = task.Start(h.ctx)
			}
			if err == nil {
				t.Errorf("%s: it starts", what)
			}
		}
	})
}

// TestUnreadableFile: a user of the container cannot read root's file.
func TestUnreadableFile(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("cat /etc/unreadable 2>/dev/null || echo denied", oci.WithUser("1000:1000"))
		h.equal("stdout", out, "denied")
	})
}
