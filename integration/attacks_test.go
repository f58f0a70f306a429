// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/bed"
)

// Each test here does what a hostile image, container, volume's neighbour or user
// of the host would do, and fails if it gets anywhere. Attacks on mounts are in
// linux/mount, on the socket and the program in cmd, on the child's memory in
// linux/fork.

// TestAttackOnExec, CVE-2016-9962: processes of the container look into those that
// join it, before they execve.
func TestAttackOnExec(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(sh(`echo ready
			while :; do ls -l /proc/[0-9]*/exe /proc/[0-9]*/cwd /proc/[0-9]*/root /proc/[0-9]*/fd /proc/[0-9]*/map_files 2>/dev/null |
				grep -e shim -e runc -e memfd: -e containerd -e anon_inode -e 'socket:' && echo STOLEN; done`))
		c.expect("ready")
		for range 60 {
			if _, errs, code := c.execs(oci.WithProcessArgs("true")); code != 0 {
				t.Errorf("exec: %d %s", code, errs)
			}
		}
		c.kill()
		if out := c.out.String(); out != "ready\n" {
			t.Errorf("the container saw\n%s", out)
		}
	})
}

// TestAttackOnHeldExec is TestAttackOnExec with all the time there is: a process of
// the container with every capability of its user namespace looks at an exec that
// is held as soon as it can be seen.
func TestAttackOnHeldExec(t *testing.T) {
	for _, point := range []string{"exec.in-child-reborn"} {
		t.Run(point, func(t *testing.T) {
			miniAlone(t, func(t *testing.T, h *harness, faults string) {
				c := h.start(userNamespace(100000), oci.WithAllCurrentCapabilities, sh(`echo ready; read p; cd /proc/$p || exit 1
					for f in exe cwd root; do readlink $f && echo STOLEN; done
					for f in environ maps auxv mem; do head -c 1 $f && echo STOLEN; done
					for d in fd map_files; do ls $d && echo STOLEN; done; echo looked`))
				c.expect("ready")
				hold := h.hold(faults, faultPoint{point, true})
				hold.arm()
				e := c.exec(oci.WithProcessArgs("true"))
				done := make(chan error, 1)
				go func() { done <- e.Start(h.ctx) }()
				child := hold.await(done)
				status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
				h.must(err)
				_, pids, _ := strings.Cut(string(status), "NSpid:")
				pids, _, _ = strings.Cut(pids, "\n")
				inner := strings.Fields(pids)
				_, err = fmt.Fprintln(c.stdin, inner[len(inner)-1])
				h.must(err)
				c.wait()
				hold.release()
				<-done // init has ended beside it
				_, err = c.Delete(h.ctx, client.WithProcessKill)
				h.must(err)
				if out := c.out.String(); !strings.HasSuffix(out, "looked\n") || strings.Contains(out, "STOLEN") {
					t.Errorf("the container saw\n%s%s", out, c.errs)
				}
			})
		})
	}
}

// TestAttackProgram, CVE-2019-5736: processes of the container write to the program
// of those that join it, which are told to execute it once more, and of init.
func TestAttackProgram(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		before := h.programs()
		c := h.start(sh(`echo ready; while :; do for p in /proc/[0-9]*; do
			[ $p = /proc/1 ] || { echo STOLEN >>$p/exe; echo STOLEN >$p/exe; chmod 777 $p/exe; } 2>/dev/null; done; done`))
		c.expect("ready")
		for i := range 40 {
			e := c.exec(oci.WithProcessArgs([][]string{{"true"}, {"/proc/self/exe", "-v"}, {"sh", "-c", "exec /proc/self/exe true"}}[i%3]...))
			h.must(e.stdin.Close())
			if err := e.Start(h.ctx); err == nil {
				e.wait()
			} else if i%3 == 0 {
				t.Error(err)
			}
			_, err := e.Delete(h.ctx)
			h.must(err)
		}
		c.kill()
		for _, args := range [][]string{{"/proc/self/exe"}, {"/proc/1/exe", "init"}, {"/proc/self/fd/3"}} {
			task, err := h.tryCreate(h.container(oci.WithProcessArgs(args...)))
			if err != nil {
				h.remove(h.lastID())
				continue
			}
			if err = task.Start(h.ctx); err == nil {
				task.wait()
			}
			_, err = task.Delete(h.ctx, client.WithProcessKill)
			h.must(err)
		}
		h.equal("programs of the host", h.programs(), before)
	})
}

// programs are the checksums of what the runtimes execute.
func (h *harness) programs() string {
	h.Helper()
	root, err := bed.Root()
	h.must(err)
	var all []string
	for _, name := range []string{shimsDir("test") + "/containerd-shim-mini-v2", "bin/tools/runc", "bin/tools/containerd-shim-runc-v2"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		h.must(err)
		all = append(all, fmt.Sprintf("%s %x", name, sha256.Sum256(data)))
	}
	return strings.Join(all, "\n")
}

// TestCreatedInitHoldsNothing: an init that waits for its start, as long as that may
// be, has its streams open and a socket: no file of the host, no procfs, no mount that
// is attached nowhere. runc's has its program, a directory of procfs, exec.fifo.
func TestCreatedInitHoldsNothing(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		for name, opts := range map[string][]oci.SpecOpts{
			"plain":          nil,
			"user namespace": {userNamespace(100000)},
			"bind":           {bind(t.TempDir(), "/home"), hookScript("createContainer", "true")},
		} {
			c := h.create(append(opts, oci.WithProcessArgs("true"))...)
			fds := h.fds(int(c.Pid()))
			sockets := slices.DeleteFunc(slices.Clone(fds), func(to string) bool { return !strings.HasPrefix(to, "socket:") })
			if len(fds) != 4 || len(sockets) != 1 {
				t.Errorf("%s: a created init has open %v", name, fds)
			}
			h.must(c.Start(h.ctx))
			c.wait()
			c.delete()
		}
	})
}

// TestAttackDescriptors, CVE-2024-21626: the program has the standard streams
// open and nothing else, and a working directory or a command that is a leaked
// descriptor of the host leads nowhere.
func TestAttackDescriptors(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(oci.WithProcessArgs("sleep", "1000"))
		e := c.exec(oci.WithProcessArgs("sleep", "1000"))
		h.must(e.Start(h.ctx))
		for what, pid := range map[string]uint32{"init": c.Pid(), "exec": e.Pid()} {
			if h.mini() {
				if fds := h.fds(int(pid)); len(fds) != 3 {
					t.Errorf("%s has open %v", what, fds)
				}
				continue
			}
			h.eventually(func() error { // runc answers before the execve
				if fds := h.fds(int(pid)); len(fds) != 3 {
					return fmt.Errorf("%s has open %v", what, fds)
				}
				return nil
			})
		}
		for n := range 20 {
			for _, up := range []string{"", "/..", "/../../../../.."} {
				dir := fmt.Sprintf("/proc/self/fd/%d%s", n, up)
				leak := func(what string, out string, err error) {
					if err == nil && (!strings.HasPrefix(out, "/") || strings.Contains(out, "unreachable") || strings.Contains(out, "containerd")) {
						t.Errorf("%s in %s: %q", what, dir, out)
					}
				}
				x := c.exec(sh("pwd; ls -d */"), process(func(p *specs.Process) { p.Cwd = dir }))
				h.must(x.stdin.Close())
				err := x.Start(h.ctx)
				if err == nil {
					x.wait()
				}
				leak("exec", x.out.String(), err)
				_, err = x.Delete(h.ctx)
				h.must(err)
				if n < 3 || n > 9 || up != "/.." {
					continue
				}
				// Swapped by a neighbour after the runtime has seen a directory there.
				task, err := h.tryCreate(h.container(sh("pwd; ls -d */"), process(func(p *specs.Process) { p.Cwd = "/home/swapped" }),
					hookScript("createRuntime", "rmdir rootfs/home/swapped; ln -s "+dir+" rootfs/home/swapped")))
				if err != nil {
					h.remove(h.lastID())
					continue
				}
				if err = task.Start(h.ctx); err == nil {
					task.wait()
				}
				leak("init", task.out.String(), err)
				task.delete()
			}
		}
		c.kill()
	})
}

// TestAttackCommand, CVE-2024-21626: a command that is looked for through the
// descriptors of the runtime, which has the host's procfs open, where a process of
// the same user shows the way to the host's files.
func TestAttackCommand(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const uid = 4242
		neighbour := exec.Command("sleep", "1000")
		neighbour.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		h.must(neighbour.Start())
		h.Cleanup(func() { neighbour.Process.Kill(); neighbour.Wait() })
		dir := h.layer("host")
		busybox, err := os.ReadFile("/bin/busybox")
		h.must(err)
		h.must(os.WriteFile(dir+"/echo", busybox, 0o755))
		var path []string
		for fd := range 64 {
			for _, up := range []string{"", "/../..", "/../../.."} {
				path = append(path, fmt.Sprintf("/proc/self/fd/%d%s/%d/root%s", fd, up, neighbour.Process.Pid, dir))
			}
		}
		stolen := process(func(p *specs.Process) {
			p.User = specs.User{UID: uid, GID: uid}
			p.Capabilities, p.Args, p.Env = nil, []string{"echo", "STOLEN"}, []string{"PATH=" + strings.Join(path, ":")}
		})
		c := h.start(forever())
		c.expect("ready")
		e := c.exec(stolen)
		h.must(e.stdin.Close())
		if err := e.Start(h.ctx); err == nil {
			if code := e.wait(); code == 0 || e.out.String() != "" {
				t.Errorf("the exec ran the host's program: %q", e.out)
			}
		}
		_, err = e.Delete(h.ctx)
		h.must(err)
		c.kill()

		task, err := h.tryCreate(h.container(stolen))
		if err != nil {
			h.remove(h.lastID())
			return
		}
		if err = task.Start(h.ctx); err == nil {
			if code := task.wait(); code == 0 || task.out.String() != "" {
				t.Errorf("init is the host's program: %q", task.out)
			}
		}
		_, err = task.Delete(h.ctx, client.WithProcessKill)
		h.must(err)
	})
}

// TestAttackInheritable, CVE-2022-24769: no capability is inheritable that nobody
// asked for.
func TestAttackInheritable(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		c := h.start(oci.WithUser("1000"), forever())
		c.expect("ready")
		const script = "grep -h -e CapInh -e CapAmb /proc/self/status | tr -d '\t'"
		for what, opt := range map[string]oci.SpecOpts{"as it is": process(func(*specs.Process) {}), "as root": oci.WithUser("0")} {
			out, _, _ := c.execs(opt, sh(script))
			h.equal("exec "+what, out, "CapInh:0000000000000000\nCapAmb:0000000000000000\n")
		}
		out, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Pid()))
		h.must(err)
		if !strings.Contains(string(out), "CapInh:\t0000000000000000\n") {
			t.Errorf("init:\n%s", out)
		}
		c.kill()
	})
}

// TestAttackByHostUser, CVE-2021-41103 and CVE-2024-25621: another user of the
// host cannot get at bundles, roots and sockets.
func TestAttackByHostUser(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		vol := t.TempDir()
		h.must(os.Chmod(filepath.Dir(vol), 0o755))
		c := h.start(bind(vol, "/home"), forever())
		c.expect("ready")
		// The id, and so the path, is no secret.
		bundle := filepath.Join(h.d.StateDir(), c.ID())
		if _, err := os.Stat(bundle + "/config.json"); err != nil {
			t.Error(err)
		}
		find := exec.Command("find", bundle, bundle+"/rootfs/", bundle+"/config.json", h.d.StateDir(),
			h.d.SocketDir(), fmt.Sprintf("/proc/%d/root/", c.Pid()))
		find.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
		out, _ := find.Output() // it fails, which is what we want
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSuffix(line, "\n")
			if line != bundle && strings.HasPrefix(line, bundle) || strings.Contains(line, "/root/") || strings.HasPrefix(line, h.d.SocketDir()+"/") {
				t.Errorf("uid 1000 found %s", line)
			}
		}
		c.kill()
	})
}

// TestAttackAbstractSocket, CVE-2020-15257: a container in the host's network
// namespace finds no socket of the shim that has no file.
func TestAttackAbstractSocket(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("grep -e '@.*shim' -e '@.*containerd' /proc/net/unix || echo none", hostNamespace(specs.NetworkNamespace))
		h.equal("stdout", out, "none")
	})
}

// TestAttackAnnotation, CVE-2026-53488: nothing in a spec or in labels makes the
// shim execute a logger.
func TestAttackAnnotation(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir := t.TempDir()
		program := dir + "/logger"
		h.must(os.WriteFile(program, []byte("#!/bin/sh\ntouch "+dir+"/executed\n"), 0o755))
		uri := "binary://" + program
		h.labels = map[string]string{"containerd.io/restart.loguri": uri}
		out := h.prints("echo done", spec(func(s *specs.Spec) {
			s.Annotations = map[string]string{"containerd.io/restart.loguri": uri, "io.containerd.runc.v2.log": uri, "stdout": uri}
		}))
		h.equal("stdout", out, "done")
		if _, err := os.Stat(dir + "/executed"); err == nil {
			t.Error("the logger was executed")
		}
	})
}

// TestAttackFakeProc, CVE-2025-52881 and CVE-2019-16884: an image with a procfs of
// its own takes no write that was meant for the kernel. runc wants a procfs.
func TestAttackFakeProc(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		lower, upper, work := h.layer("lower"), h.layer("upper"), h.layer("work")
		busybox, err := os.ReadFile("/bin/busybox")
		h.must(err)
		h.must(os.MkdirAll(lower+"/bin", 0o755))
		h.must(os.WriteFile(lower+"/bin/sh", busybox, 0o755))
		for _, f := range []string{
			"sys/kernel/msgmax", "sys/kernel/core_pattern", "self/attr/exec", "self/attr/apparmor/exec", "self/oom_score_adj",
			"self/uid_map", "self/setgroups", "thread-self/attr/exec", "1/oom_score_adj", "sysrq-trigger",
		} {
			h.must(os.MkdirAll(filepath.Dir(lower+"/proc/"+f), 0o777))
			h.must(os.WriteFile(lower+"/proc/"+f, []byte("image"), 0o666))
		}
		score := 77
		c := h.container(oci.WithProcessArgs("/bin/sh", "-c", "read x"), process(func(p *specs.Process) { p.OOMScoreAdj = &score }), spec(func(s *specs.Spec) {
			s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil, nil
			s.Linux.Sysctl = map[string]string{"kernel.msgmax": "8111"}
		}))
		task, err := h.tryCreate(c, withRootfs("overlay", "lowerdir="+lower, "upperdir="+upper, "workdir="+work))
		h.must(err)
		h.must(task.Start(h.ctx))
		got, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", task.Pid()))
		h.must(err)
		h.equal("oom_score_adj", string(got), "77\n")
		h.equal("files of the image that were written to", strings.Join(h.filesBelow(upper+"/proc"), " "), "")
		h.must(task.Kill(h.ctx, syscall.SIGKILL))
		task.wait()
		_, err = task.Delete(h.ctx)
		h.must(err)
	})
}

// filesBelow lists the files in a directory that need not be there.
func (h *harness) filesBelow(dir string) (all []string) {
	h.must(filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, p)
		}
		return nil
	}))
	return all
}

// pinMounts mounts a mount namespace of its own on the file. The kernel takes only
// one that is newer than ours, and since 6.18 tells that by numbers that each CPU
// has a stock of (mnt_ns_loop in fs/namespace.c): every CPU is tried.
func (h *harness) pinMounts(file string) {
	h.Helper()
	err := errors.New("no CPU")
	for cpu := 0; cpu < runtime.NumCPU() && err != nil; cpu++ {
		ns := exec.Command("taskset", "-c", strconv.Itoa(cpu), "unshare", "-m", "sleep", "1000")
		h.must(ns.Start())
		h.Cleanup(func() { ns.Process.Kill(); ns.Wait() })
		theirs := fmt.Sprintf("/proc/%d/ns/mnt", ns.Process.Pid)
		h.eventually(func() error {
			own, err := os.Readlink(theirs)
			if mine, _ := os.Readlink("/proc/self/ns/mnt"); err == nil && own == mine {
				err = fmt.Errorf("still in %s", own)
			}
			return err
		})
		err = syscall.Mount(theirs, file, "", syscall.MS_BIND, "")
	}
	h.must(err)
	h.Cleanup(func() { syscall.Unmount(file, syscall.MNT_DETACH) })
}

// TestBindOfTheHostWithPins (crun#2262): the host's whole tree, with a mount
// namespace pinned in it, is what is bound, or nothing is.
func TestBindOfTheHostWithPins(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		pin := t.TempDir() + "/pin"
		h.must(os.WriteFile(pin, []byte("under the pin"), 0o644))
		h.must(os.WriteFile(filepath.Dir(pin)+"/mark", []byte("host"), 0o644))
		h.pinMounts(pin)
		task, err := h.tryCreate(h.container(bind("/", "/home", "rbind", "rslave"), sh("cat /home"+filepath.Dir(pin)+"/mark; ls /home/home/mini 2>&1 | grep -c mini")))
		if err != nil {
			h.remove(h.lastID())
			t.Logf("refused: %v", err)
			return
		}
		h.must(task.Start(h.ctx))
		task.wait()
		task.delete()
		if out := task.out.String(); !strings.HasPrefix(out, "host") {
			t.Errorf("/home is %q", out)
		}
	})
}

// TestAttackLargeValues, CVE-2021-43784: values as long as they can be are honoured
// to the last byte, longer ones are refused, and none changes another.
func TestAttackLargeValues(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const most = 128<<10 - 1 // MAX_ARG_STRLEN, with the NUL
		long := strings.Repeat("x", most-len("LONG="))
		out := h.prints(`echo ${#LONG} $AFTER; cat /proc/self/uid_map | tr -s ' '`, process(func(p *specs.Process) {
			p.Env = append(p.Env, "LONG="+long, "AFTER=after")
		}), spec(func(s *specs.Spec) {
			for i := range 300 {
				s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, fmt.Sprintf("/not/there/%d/%s", i, strings.Repeat("y", 200)))
			}
		}))
		h.equal("stdout", out, fmt.Sprintf("%d after\n 0 0 4294967295", len(long)))
		task, err := h.container(sh("echo"), process(func(p *specs.Process) { p.Env = append(p.Env, "LONG="+long+"x") })).NewTask(h.ctx, cio.NullIO)
		if err == nil {
			if err = task.Start(h.ctx); err == nil && h.mini() { // runc answers before the execve
				t.Error("a variable that is too long is honoured")
			}
			_, err = task.Delete(h.ctx, client.WithProcessKill)
			h.must(err)
		}
	})
}
