// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// seccompOf sets linux.seccomp.
func seccompOf(s specs.LinuxSeccomp) oci.SpecOpts {
	return spec(func(all *specs.Spec) { all.Linux.Seccomp = &s })
}

// allowBut allows all calls but those of the entries.
func allowBut(entries ...specs.LinuxSyscall) oci.SpecOpts {
	return seccompOf(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: entries})
}

// on is an entry for a call.
func on(action specs.LinuxSeccompAction, names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: action}
}

func withErrno(e specs.LinuxSyscall, n uint) specs.LinuxSyscall {
	e.ErrnoRet = &n
	return e
}

func withArgs(e specs.LinuxSyscall, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	e.Args = args
	return e
}

const seccompStatus = "grep -E '^(NoNewPrivs|Seccomp|Seccomp_filters|CapEff):' /proc/self/status | tr -s '\t' ' '"

// privileges sets no_new_privs, and a user that has no capabilities.
func privileges(nnp bool, uid uint32) oci.SpecOpts {
	return process(func(p *specs.Process) {
		p.NoNewPrivileges = nnp
		if p.User.UID = uid; uid != 0 {
			p.Capabilities = &specs.LinuxCapabilities{}
		}
	})
}

// TestSeccompInAUserNamespace: the filter is installed with the rights over it.
func TestSeccompInAUserNamespace(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		want := "CapEff: 00000000a80425fb\nNoNewPrivs: 0\nSeccomp: 2\nSeccomp_filters: 1"
		h.equal("status", h.prints(seccompStatus, userNamespace(100000), privileges(false, 0), seccomp.WithDefaultProfile()), want)
	})
}

func TestSeccompDefaultProfile(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for _, nnp := range []string{"0", "1"} {
			for _, uid := range []uint32{0, 1000} {
				opts := []oci.SpecOpts{privileges(nnp == "1", uid), seccomp.WithDefaultProfile()}
				caps := map[uint32]string{0: "00000000a80425fb", 1000: "0000000000000000"}[uid]
				want := "CapEff: " + caps + "\nNoNewPrivs: " + nnp + "\nSeccomp: 2\nSeccomp_filters: 1\nunshare: Operation not permitted"
				script := seccompStatus + "; unshare -m true 2>&1 | sed 's/: unshare([^)]*)//; s/unshare: unshare/unshare/'"
				h.equal("init", h.prints(script, opts...), want)
				task := h.start(append(opts, forever())...)
				task.expect("ready")
				out, _, _ := task.execs(sh(script))
				h.equal("exec", strings.TrimRight(out, "\n"), want)
				task.kill()
			}
		}
	})
}

// TestSeccompActions: what a filter does with a call of the container.
func TestSeccompActions(t *testing.T) {
	mkdir := []string{"mkdir", "mkdirat"}
	each(t, func(t *testing.T, h *harness) {
		for _, test := range []struct {
			name, script string
			opt          oci.SpecOpts
			want         string
		}{
			{"errno", "mkdir /x 2>&1", allowBut(withErrno(on(specs.ActErrno, mkdir...), 28)), "mkdir: can't create directory '/x': No space left on device\n1"},
			{"default errno", "mkdir /x 2>&1", allowBut(on(specs.ActErrno, mkdir...)), "mkdir: can't create directory '/x': Operation not permitted\n1"},
			{"kill", "mkdir /x", allowBut(on(specs.ActKill, mkdir...)), "159"},
			{"kill the process", "mkdir /x", allowBut(on(specs.ActKillProcess, mkdir...)), "159"},
			{"trap", "mkdir /x", allowBut(on(specs.ActTrap, mkdir...)), "159"},
			{"trace without a tracer", "mkdir /x 2>&1", allowBut(on(specs.ActTrace, mkdir...)), "mkdir: can't create directory '/x': Function not implemented\n1"},
			{"log", "mkdir /x && ls -d /x", seccompOf(specs.LinuxSeccomp{DefaultAction: specs.ActLog, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog}}), "/x\n0"},
			{"no flags", "grep -c 'Seccomp:.*2' /proc/self/status", seccompOf(specs.LinuxSeccomp{DefaultAction: specs.ActLog, Flags: []specs.LinuxSeccompFlag{}}), "1\n0"},
			{"TSYNC", "grep -c 'Seccomp:.*2' /proc/self/status", seccompOf(specs.LinuxSeccomp{DefaultAction: specs.ActLog, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagSpecAllow}}), "1\n0"},
			{"nothing said", "grep -c 'Seccomp:.*0' /proc/self/status", seccompOf(specs.LinuxSeccomp{}), "1\n0"},
			{"names that do not exist", "echo", allowBut(on(specs.ActKill, "no_such_call")), "\n0"},
			{
				"arguments", "kill -0 $$ 2>&1 || kill -CONT $$ && echo continued",
				allowBut(withArgs(withErrno(on(specs.ActErrno, "kill"), 5), specs.LinuxSeccompArg{Index: 1, Op: specs.OpEqualTo})),
				"sh: can't kill pid 1: Input/output error\ncontinued\n0",
			},
			{
				"arguments in alternative", "for s in 0 CONT URG; do kill -$s 1 2>&1; done; true",
				allowBut(withArgs(withErrno(on(specs.ActErrno, "kill"), 5), specs.LinuxSeccompArg{Index: 1, Op: specs.OpEqualTo}, specs.LinuxSeccompArg{Index: 1, Value: 23, Op: specs.OpEqualTo})),
				"sh: can't kill pid 1: Input/output error\nsh: can't kill pid 1: Input/output error\n0",
			},
		} {
			out, errs, code := h.run(test.opt, sh(test.script+"; echo $?"))
			if got := strings.TrimRight(out, "\n"); code != 0 || got != test.want {
				t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %q", test.name, code, got, errs, test.want)
			}
		}
	})
}

// TestSeccompKillsInit: the exit code of a container that its filter kills.
func TestSeccompKillsInit(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		_, _, code := h.run(allowBut(on(specs.ActKill, "mkdir", "mkdirat")), oci.WithProcessArgs("mkdir", "/x"))
		h.equal("exit code", strconv.Itoa(int(code)), "159")
	})
}

// callsProgram is integration/cmd/calls for an architecture.
func callsProgram(t *testing.T, goarch string) oci.SpecOpts {
	t.Helper()
	return bind(program(t, "calls", goarch), "/calls-"+goarch, "ro")
}

// program builds a program of integration/cmd for an architecture.
func program(t *testing.T, name, goarch string) (file string) {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", file, "./cmd/"+name)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+goarch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return file
}

// TestSeccompNumbers: calls by number. One that is newer than the section gets
// ENOSYS, not EPERM, and architectures that are not listed are killed.
func TestSeccompNumbers(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("another architecture has not both")
	}
	native, old := callsProgram(t, "amd64"), callsProgram(t, "386")
	each(t, func(t *testing.T, h *harness) {
		profile := spec(func(s *specs.Spec) {
			p := seccomp.DefaultProfile(s)
			p.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86}
			s.Linux.Seccomp = p
		})
		nativeOnly := spec(func(s *specs.Spec) { s.Linux.Seccomp.Architectures = nil })
		// personality(0x20) is not in the profile, personality(8) is; mount; a number of tomorrow.
		h.equal("x86_64", h.prints("/calls-amd64 39 135,0x20 135,8 165 1000", native, profile), "0\n1\n0\n1\n38")
		h.equal("x86", h.prints("/calls-386 20 136,0x20 136,8 21 1000", old, profile), "0\n1\n0\n1\n38")
		// socketcall(SYS_SOCKET) with no arguments to read, and one that the kernel has not.
		h.equal("socketcall", h.prints("/calls-386 102,1,0 102,99,0", old, profile), "14\n22")
		// The thread is killed, and with it what a program of Go can do, if it has
		// come so far.
		_, _, code := h.run(native, profile, sh("timeout -s KILL 1 /calls-amd64 39 0x40000027 39; exit $?"))
		h.equal("x32", strconv.Itoa(int(code)), "137")
		_, _, code = h.run(old, profile, nativeOnly, sh("timeout -s KILL 1 /calls-386 20; exit $?"))
		h.equal("x86 that is not listed", strconv.Itoa(int(code)), "159")
	})
}

// TestSeccompRefusals: sections that the specification forbids.
func TestSeccompRefusals(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		for want, opt := range map[string]oci.SpecOpts{
			"linux.seccomp.defaultAction":        seccompOf(specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_MAYBE"}),
			"linux.seccomp.flags[0]":             seccompOf(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"X"}}),
			"linux.seccomp.listenerPath":         allowBut(on(specs.ActNotify, "mkdir")),
			"linux.seccomp.syscalls[0].names[0]": seccompOf(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/x", Syscalls: []specs.LinuxSyscall{on(specs.ActNotify, "write")}}),
			"linux.seccomp.syscalls[0].errnoRet": allowBut(withErrno(on(specs.ActKill, "mkdir"), 1)),
		} {
			_, err := h.container(sh("echo"), opt).NewTask(h.ctx, cio.NullIO)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
		}
	})
}

// TestSeccompForbidsExecve: the reason reaches the client through the filter.
func TestSeccompForbidsExecve(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		task := h.create(sh("echo"), privileges(true, 0), allowBut(withErrno(on(specs.ActErrno, "execve", "sendto"), 13)))
		if err := task.Start(h.ctx); h.mini() && (err == nil || !strings.Contains(err.Error(), "permission denied")) {
			t.Errorf("%v; want permission denied", err)
		}
		task.wait()
		task.delete()
	})
}
