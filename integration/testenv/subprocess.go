// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// subprocessEnv holds, in the re-executed test binary, the name of the one
// test it is to run.
const subprocessEnv = "MINI_TEST_SUBPROCESS"

// freshEnv holds it in the process that Rootless starts first.
const freshEnv = "MINI_TEST_FRESH"

// subprocessTimeout bounds a re-executed test when the test binary has no
// deadline of its own (-timeout 0).
const subprocessTimeout = 5 * time.Minute

// Subprocess runs body in a fresh process: the test binary again, with this
// test alone, in new namespaces given by CLONE_NEW* flags (0 for none). What
// body does to its process (namespaces, credentials, working directory,
// threads that are thrown away) ends with it.
//
// With CLONE_NEWNS every mount is made private first; with CLONE_NEWPID as
// well, a fresh proc is mounted on /proc. The process is killed when the
// calling thread's process dies.
//
// Code of the test before the call runs in both processes; code after it in
// the calling one only, since body's process stops at the end of body.
func Subprocess(t *testing.T, cloneflags uintptr, body func(t *testing.T)) {
	t.Helper()
	subprocess(t, &syscall.SysProcAttr{Cloneflags: cloneflags}, body)
}

// Rootless is Subprocess in new user, mount, pid, network, IPC and UTS namespaces,
// as tools for rootless containers make them: root of the first is the host's user
// id. It has that many ids; with one alone, as a user without subordinate ids
// has it, it may not call setgroups(2). The process is in the cgroup whose directory
// is given.
func Rootless(t *testing.T, id, size int, cgroup string, body func(t *testing.T)) {
	t.Helper()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	// The shim's code keeps its memory from forks (linux/fork), and Go forks, and
	// does not vfork, for a user namespace: it is made from a fresh process.
	if name := t.Name(); os.Getenv(subprocessEnv) != name && os.Getenv(freshEnv) != name {
		again(t, freshEnv, &syscall.SysProcAttr{})
		return
	}
	ids := []syscall.SysProcIDMap{{HostID: id, Size: size}}
	subprocess(t, &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		UidMappings:                ids,
		GidMappings:                ids,
		GidMappingsEnableSetgroups: size > 1,
		Credential:                 &syscall.Credential{NoSetGroups: size == 1},
		UseCgroupFD:                true, CgroupFD: int(dir.Fd()),
	}, body)
}

// User is Subprocess as another user and group than root, with the given
// capabilities (ambient, so for all that it starts) and no others. It needs root, and
// has a mount namespace of its own with CAP_SYS_ADMIN.
func User(t *testing.T, id int, capabilities []uintptr, body func(t *testing.T)) {
	t.Helper()
	if !InSubprocess() {
		Root(t)
	}
	const sysAdmin = 21
	var flags uintptr
	if slices.Contains(capabilities, sysAdmin) {
		flags = syscall.CLONE_NEWNS
	}
	subprocess(t, &syscall.SysProcAttr{
		Cloneflags: flags, AmbientCaps: capabilities,
		Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id)},
	}, body)
}

// InSubprocess reports whether this is a process that Subprocess or Rootless made, or
// the fresh one from which Rootless makes it.
func InSubprocess() bool { return os.Getenv(subprocessEnv) != "" || os.Getenv(freshEnv) != "" }

func subprocess(t *testing.T, attr *syscall.SysProcAttr, body func(t *testing.T)) {
	t.Helper()
	cloneflags := attr.Cloneflags
	if os.Getenv(subprocessEnv) == t.Name() {
		if err := settle(cloneflags); err != nil {
			t.Fatal(err)
		}
		body(t)
		fmt.Println(endOf(t))
		t.SkipNow() // ends the test here; cleanups run, and may still fail it
	}

	again(t, subprocessEnv, attr)
}

// again runs the test binary again, with this test alone and its name in a
// variable of the environment.
func again(t *testing.T, variable string, attr *syscall.SysProcAttr) {
	t.Helper()
	deadline, ok := t.Deadline()
	if !ok {
		deadline = time.Now().Add(subprocessTimeout)
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(-time.Second))
	defer cancel()
	// By its link: another user may not get to where go test has put it.
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.v", "-test.count=1",
		"-test.run="+exactly(t.Name()),
		fmt.Sprintf("-test.timeout=%s", time.Until(deadline)))
	cmd.Env = append(os.Environ(), variable+"="+t.Name(), runEnv+"="+run())
	cmd.SysProcAttr = attr
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	report(t, out.String(), err)
}

// report turns the output and the end of a re-executed test into the outcome
// of t.
func report(t *testing.T, out string, err error) {
	t.Helper()
	out = strings.TrimSpace(out)
	switch {
	case err != nil:
		t.Fatalf("in a subprocess: %v\n%s", err, out)
	case strings.Contains(out, endOf(t)):
		t.Log(out)
	case strings.Contains(out, "--- SKIP: "+t.Name()+" "):
		t.Skip(out)
	default:
		t.Fatalf("in a subprocess: the test did not run\n%s", out)
	}
}

// endOf is what the re-executed test prints when its body came to its end,
// which tells it from a body that skipped.
func endOf(t *testing.T) string { return "testenv: end of " + t.Name() }

// exactly is the -test.run pattern that matches the named test or subtest and
// no other.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// settle makes a process born into new namespaces independent of its parent's
// mounts.
func settle(cloneflags uintptr) error {
	if cloneflags&syscall.CLONE_NEWNS == 0 {
		return nil
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if cloneflags&syscall.CLONE_NEWPID == 0 {
		return nil
	}
	const flags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
	return os.NewSyscallError("mount", syscall.Mount("proc", "/proc", "proc", flags, ""))
}
