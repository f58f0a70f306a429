// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// apparmor has the process run under a profile.
func apparmor(profile string) oci.SpecOpts {
	return process(func(p *specs.Process) { p.ApparmorProfile = profile })
}

// selinux gives the process a label.
func selinux(label string) oci.SpecOpts {
	return process(func(p *specs.Process) { p.SelinuxLabel = label })
}

// profiles loads AppArmor profiles that allow everything but the rule.
func (h *harness) profiles(rules map[string]string) {
	h.Helper()
	for name, rule := range rules {
		h.profile(name, "attach_disconnected,mediate_deleted", rule)
	}
}

// profile loads an AppArmor profile with those flags.
func (h *harness) profile(name, flags, rule string) {
	h.Helper()
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		testenv.Unavailable(h, "no apparmor_parser")
	}
	if flags != "" {
		flags = "flags=(" + flags + ")"
	}
	file := filepath.Join(h.TempDir(), name)
	h.must(os.WriteFile(file, []byte("profile "+name+" "+flags+" {\n"+
		"file, capability, network, mount, umount, pivot_root, signal, ptrace, unix,\n"+rule+"\n}\n"), 0o644))
	if out, err := exec.Command(parser, "-r", "-K", file).CombinedOutput(); err != nil {
		h.Fatalf("%v: %s", err, out)
	}
	h.Cleanup(func() {
		if out, err := exec.Command(parser, "-R", file).CombinedOutput(); err != nil {
			h.Errorf("%v: %s", err, out)
		}
	})
}

// TestVMAppArmor: init and execs run under the profiles of their own, whatever
// else is asked for beside.
func TestVMAppArmor(t *testing.T) {
	testenv.Needs(t, testenv.AppArmor())
	each(t, func(t *testing.T, h *harness) {
		h.profiles(map[string]string{"mini-test-one": "deny /etc/passwd r,", "mini-test-two": "deny /etc/group r,"})
		const script = "cat /proc/self/attr/current; cat /etc/passwd >/dev/null 2>&1 || echo no passwd; cat /etc/group >/dev/null 2>&1 || echo no group"
		for name, opt := range map[string]oci.SpecOpts{
			"plain":              process(func(*specs.Process) {}),
			"no new privileges":  process(func(p *specs.Process) { p.NoNewPrivileges = true }),
			"user namespace":     userNamespace(100000),
			"another user":       oci.WithUser("1000:1000"),
			"host's namespaces":  oci.Compose(hostNamespace("pid"), hostNamespace("network"), hostNamespace("ipc")),
			"no capabilities":    oci.WithCapabilities(nil),
			"privileged devices": oci.WithAllDevicesAllowed,
		} {
			if name != "plain" && !h.mini() && !testenv.Full() {
				continue // runc's way does not change
			}
			c := h.start(apparmor("mini-test-one"), opt, sh(script+"; echo ready; read x"))
			c.expect("ready")
			h.equal(name, c.out.String(), "mini-test-one (enforce)\nno passwd\nready\n")
			out, errs, _ := c.execs(sh(script))
			h.equal(name+", exec: "+errs, out, "mini-test-one (enforce)\nno passwd\n")
			out, errs, _ = c.execs(apparmor("mini-test-two"), sh(script))
			h.equal(name+", exec with another profile: "+errs, out, "mini-test-two (enforce)\nno group\n")
			out, errs, _ = c.execs(apparmor(""), sh(script))
			want := "mini-test-one (enforce)\nno passwd\n"
			if !h.mini() {
				want = "unconfined\n" // runc forgets the container's profile
			}
			h.equal(name+", exec without a profile: "+errs, out, want)
			c.kill()
		}
	})
}

// TestVMAppArmorStreams: a profile that forbids to write any file, as that of Kubernetes'
// tutorial, and does not attach what is outside of the container's root. A pipe has no
// path.
func TestVMAppArmorStreams(t *testing.T) {
	testenv.Needs(t, testenv.AppArmor())
	each(t, func(t *testing.T, h *harness) {
		h.profile("mini-test-narrow", "", "deny /** w,")
		const script = "read x; echo got $x >/dev/stdout && echo err >/dev/stderr; echo no >/tmp/f || echo denied; cat /proc/self/attr/current"
		const denied = "err\nsh: can't create /tmp/f: Permission denied\n"
		const want = "got word\ndenied\nmini-test-narrow (enforce)\n"
		for _, user := range []string{"0", "1000:1000"} {
			opts := []oci.SpecOpts{apparmor("mini-test-narrow"), oci.WithUser(user)}
			c := h.start(append(opts, sh(script+"; exec sleep 1000"))...)
			c.types("word\n")
			c.expect("enforce")
			h.equal("stdout", c.out.String(), want)
			h.equal("stderr", c.errs.String(), denied)
			e := c.exec(sh(script))
			h.must(e.Start(h.ctx))
			_, err := io.WriteString(e.stdin, "word\n")
			h.must(err)
			e.wait()
			_, err = e.Delete(h.ctx)
			h.must(err)
			h.equal("exec's stdout", e.out.String(), want)
			h.equal("exec's stderr", e.errs.String(), denied)
			c.kill()
		}
	})
}

// TestVMAppArmorProfileIsMissing: Create and Exec fail, and say which profile.
func TestVMAppArmorProfileIsMissing(t *testing.T) {
	testenv.Needs(t, testenv.AppArmor())
	each(t, func(t *testing.T, h *harness) {
		_, err := h.container(apparmor("mini-test-none"), sh("echo")).NewTask(h.ctx, cio.NullIO)
		if err == nil || h.mini() && !strings.Contains(err.Error(), "apply AppArmor profile mini-test-none: no such file") {
			t.Errorf("%v", err)
		}
		c := h.start(forever())
		c.expect("ready")
		e := c.exec(apparmor("mini-test-none"), sh("echo"))
		if err := e.Start(h.ctx); err == nil || h.mini() && !strings.Contains(err.Error(), "apply AppArmor profile mini-test-none: no such file") {
			t.Errorf("exec: %v", err)
		}
		_, err = e.Delete(h.ctx)
		h.must(err)
		c.kill()
	})
}

// TestLSMIsOff: what the kernel has not is refused by the field's name.
func TestLSMIsOff(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		on := func(file string) bool { _, err := os.Stat(file); return err == nil }
		appArmorIsOn, selinuxIsOn := on("/sys/module/apparmor"), on("/sys/fs/selinux/enforce")
		for field, test := range map[string]struct {
			skip bool
			opt  oci.SpecOpts
		}{
			"process.apparmorProfile: some-profile: AppArmor is not on": {appArmorIsOn, apparmor("some-profile")},
			"process.selinuxLabel: a:b:c:d: SELinux is not on":          {selinuxIsOn, selinux("a:b:c:d")},
			"linux.mountLabel: a:b:c:d: SELinux is not on":              {selinuxIsOn, spec(func(s *specs.Spec) { s.Linux.MountLabel = "a:b:c:d" })},
		} {
			if test.skip {
				continue
			}
			_, err := h.container(sh("echo"), test.opt).NewTask(h.ctx, cio.NullIO)
			if err == nil || !strings.Contains(err.Error(), field) || !errdefs.IsNotImplemented(err) {
				t.Errorf("%v; want not implemented, %s", err, field)
			}
		}
	})
}

// TestVMSELinux: labels of init, of execs, and of what is mounted.
func TestVMSELinux(t *testing.T) {
	testenv.Needs(t, testenv.SELinux())
	const label, other, file = "system_u:system_r:svirt_t:s0:c1,c2", "system_u:system_r:svirt_t:s0:c3,c4", "system_u:object_r:tmp_t:s0:c1,c2"
	each(t, func(t *testing.T, h *harness) {
		const script = "cat /proc/self/attr/current | tr -d '\\000'; echo"
		for name, opt := range map[string]oci.SpecOpts{
			"plain":             process(func(*specs.Process) {}),
			"no new privileges": process(func(p *specs.Process) { p.NoNewPrivileges = true }),
			"user namespace":    userNamespace(100000),
			"another user":      oci.WithUser("1000:1000"),
		} {
			// In a user namespace mini's device nodes are made with the label, runc's are the host's.
			const labelled = "grep context= /proc/self/mountinfo | cut -d' ' -f5 | " +
				"grep -Ev '^/(proc.*|dev/(full|null|random|tty|urandom|zero))$' | sort"
			c := h.start(selinux(label), opt, mount("tmpfs", "tmpfs", "/tmp"), sh(script+"; "+labelled+"; echo ready; read x"),
				spec(func(s *specs.Spec) {
					s.Linux.MountLabel = file
					s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/home")
				}))
			c.expect("ready")
			h.equal(name, c.out.String(), label+"\n/\n/dev\n/dev/pts\n/dev/shm\n/home\n/run\n/sys/firmware\n/tmp\nready\n")
			out, errs, _ := c.execs(sh(script))
			h.equal(name+", exec: "+errs, out, label+"\n")
			out, errs, _ = c.execs(selinux(other), sh(script))
			h.equal(name+", exec with another label: "+errs, out, other+"\n")
			buf := make([]byte, 256)
			n, err := syscall.Getxattr(fmt.Sprintf("/proc/%d/root/dev/mqueue", c.Pid()), "security.selinux", buf)
			h.must(err)
			h.equal(name+", mqueue", strings.TrimRight(string(buf[:n]), "\x00"), file)
			c.kill()
		}
	})
}

// TestVMAloneSELinuxEnforces: the policy has the last word on a label. Everything here
// runs as kernel_t, which may become init_t by a program of the type for it, and may
// not become svirt_t.
func TestVMAloneSELinuxEnforces(t *testing.T) {
	testenv.Needs(t, testenv.SELinux())
	const allowed, denied, unknown = "system_u:system_r:init_t:s0", "system_u:system_r:svirt_t:s0:c1,c2", "system_u:system_r:mini_test_none_t:s0"
	each(t, func(t *testing.T, h *harness) {
		labelled := h.enforce("init_exec_t")

		// With no_new_privs a policy that knows none of the two allows no change at all.
		free := process(func(p *specs.Process) { p.NoNewPrivileges = false })
		sleeps := []oci.SpecOpts{labelled, free, oci.WithProcessArgs("/labelled/busybox", "sleep", "1000")}
		c := h.start(append(sleeps, selinux(allowed))...)
		label, err := os.ReadFile(fmt.Sprintf("/proc/%d/attr/current", c.Pid()))
		h.must(err)
		h.equal("label", strings.TrimRight(string(label), "\x00\n"), allowed)
		c.kill()

		refused := map[string]string{unknown: "invalid argument"}
		if h.mini() { // under runc it starts, and ends at once
			refused[denied] = "permission denied"
		}
		for label, want := range refused {
			task, err := h.tryCreate(h.container(append(sleeps, selinux(label))...))
			if err == nil {
				err = task.Start(h.ctx)
				defer task.delete()
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %s", label, err, want)
			}
		}
		plain := h.start(sleeps...)
		for label, want := range refused {
			e := plain.exec(selinux(label), free, oci.WithProcessArgs("/labelled/busybox", "true"))
			if err := e.Start(h.ctx); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("exec as %s: %v; want %s", label, err, want)
			}
			_, err := e.Delete(h.ctx)
			h.must(err)
		}
		plain.kill()
	})
}

// enforce turns SELinux's enforcing on for the test, and binds a busybox that has a type
// to /labelled. The disk has no labels otherwise.
func (h *harness) enforce(kind string) oci.SpecOpts {
	h.Helper()
	dir, _ := h.diskDir()
	program := filepath.Join(dir, "busybox")
	out, err := exec.Command("cp", must(exec.LookPath("busybox")), program).CombinedOutput()
	if err != nil {
		h.Fatalf("%v: %s", err, out)
	}
	h.must(syscall.Setxattr(program, "security.selinux", []byte("system_u:object_r:"+kind+":s0"), 0))
	h.run(sh("true")) // has the kernel load overlayfs, from a file without a label
	h.must(os.WriteFile("/sys/fs/selinux/enforce", []byte("1"), 0))
	h.Cleanup(func() { h.must(os.WriteFile("/sys/fs/selinux/enforce", []byte("0"), 0)) })
	return bind(dir, "/labelled", "ro")
}

// TestVMAloneSELinuxStreams: a domain that may use the pipes of the shim's domain, and
// nothing of the type that containerd's fifos and logs have, as it is with
// container-selinux's container_t, has stdin, stdout and stderr. (The kernel puts
// something without any right in the place of a file that may not be inherited.) Here
// the shim is kernel_t, and the domain that of modprobe.
func TestVMAloneSELinuxStreams(t *testing.T) {
	testenv.Needs(t, testenv.SELinux())
	each(t, func(t *testing.T, h *harness) {
		script := oci.Compose(h.enforce("kmod_exec_t"), selinux("system_u:system_r:kmod_t:s0"),
			process(func(p *specs.Process) { p.NoNewPrivileges = false }),
			oci.WithProcessArgs("/labelled/busybox", "sh", "-c", "read x; echo got $x; echo err >&2; read x"))
		c := h.start(script)
		c.types("word\n")
		c.expect("got word\n")
		h.eventually(func() error { // runc's shim copies each stream at its own pace
			if got := c.errs.String(); got != "err\n" {
				return fmt.Errorf("stderr: %q", got)
			}
			return nil
		})
		e := c.exec()
		h.must(e.Start(h.ctx))
		_, err := io.WriteString(e.stdin, "word\nend\n")
		h.must(err)
		if code := e.wait(); code != 0 {
			t.Errorf("exec: exit code %d", code)
		}
		_, err = e.Delete(h.ctx)
		h.must(err)
		h.equal("exec's stdout", e.out.String(), "got word\n")
		h.equal("exec's stderr", e.errs.String(), "err\n")
		c.kill()
		log := filepath.Join(h.TempDir(), "log")
		h.runInit(streamKind{name: "file", io: cio.LogFile(log)}, script,
			oci.WithProcessArgs("/labelled/busybox", "sh", "-c", "echo out"))
		data, err := os.ReadFile(log)
		h.must(err)
		h.equal("log", string(data), "out\n")
	})
}
