// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/mount"
	"github.com/containerd-mini/mini/linux/sys"
)

func TestRightsOfAStatus(t *testing.T) {
	const status = "Name:\tsh\nState:\tT (stopped)\nCapInh:\t0000000000000001\nCapPrm:\t0000000000000002\nCapEff:\t0000000000000000\n" +
		"CapBnd:\t0000008000000000\nCapAmb:\t0000000000000004\nSeccomp:\t0\n"
	held, dead, err := rights([]byte(status))
	if err != nil || held != 0x8000000007 || dead {
		t.Errorf("got %#x, %t, %v", uint64(held), dead, err)
	}
	many := strings.Replace(status, "CapInh", "Groups:\t"+strings.Repeat("1000 ", 65536)+"\nCapInh", 1)
	if got, _, err := rights([]byte(many)); err != nil || got != held {
		t.Errorf("with many groups: %#x, %v", uint64(got), err)
	}
	if _, dead, _ := rights([]byte(strings.Replace(status, "T (stopped)", "Z (zombie)", 1))); !dead {
		t.Error("a zombie is not dead")
	}
	for name, text := range map[string]string{
		"empty": "", "one missing": strings.Replace(status, "CapBnd", "CapXyz", 1), "no number": strings.Replace(status, "0000000000000004", "x", 1),
	} {
		if _, _, err := rights([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A process that is not what the specification says is found out, whatever made it.
func TestMisfitsAreRefused(t *testing.T) {
	testenv.Root(t)
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	all := specs.LinuxCapabilities{Bounding: capabilityNames}
	some := specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}}
	uts, err := os.Open("/proc/self/ns/uts")
	if err != nil {
		t.Fatal(err)
	}
	defer uts.Close()
	for name, c := range map[string]struct {
		create int
		join   map[int]*os.File
		caps   *specs.LinuxCapabilities
		fits   bool
	}{
		"fits":                {unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, nil, &all, true},
		"not new":             {unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET, nil, &all, false},
		"new, not asked for":  {unix.CLONE_NEWUTS, nil, &all, false},
		"not the one to join": {unix.CLONE_NEWIPC, map[int]*os.File{unix.CLONE_NEWUTS: uts}, &all, false},
		"capabilities":        {unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, nil, &some, false},
		"none at all":         {unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, nil, nil, false},
	} {
		r := &restorer{
			maker: &maker{
				Config: &Config{Spec: &specs.Spec{Process: &specs.Process{Capabilities: c.caps}}},
				ns:     &namespaces{create: c.create, join: c.join},
			},
			pid: cmd.Process.Pid, c: &Container{},
		}
		err := r.checkNamespaces()
		if err == nil {
			err = r.checkRights(0)
		}
		if (err == nil) != c.fits || err != nil && !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A process that dies soon does not make a checkpoint unfit.
func TestDyingProcessFits(t *testing.T) {
	testenv.Root(t)
	cmd := exec.Command("sleep", "0.1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	r := &restorer{maker: &maker{Config: &Config{Spec: &specs.Spec{Process: &specs.Process{}}}}, pid: cmd.Process.Pid}
	if err := r.checkRights(time.Millisecond); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("while it lives: got %v", err)
	}
	begin := time.Now()
	if err := r.checkRights(time.Minute); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestMisfitMounts: the mounts of this machine are not those of a container.
func TestMisfitMounts(t *testing.T) {
	testenv.Root(t)
	cmd := exec.Command("sh", "-c", "mount --make-rprivate / && mount -t tmpfs -o ro mask /sys/fs && mount --bind /dev/null /proc/uptime && mount --bind /dev/shm /dev/shm && mount -o remount,ro,bind /dev/shm && echo ok && exec sleep 60")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	pidfd, err := sys.PidfdOpen(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	for name, c := range map[string]struct {
		masked, readonly []string
		fits             bool
	}{
		"fits":                {[]string{"/proc/uptime", "/sys/fs", "/missing", "/proc/uptime/below"}, []string{"/dev/shm"}, true},
		"a file in sight":     {[]string{"/proc/stat"}, nil, false},
		"a directory":         {[]string{"/sys/kernel"}, nil, false},
		"not read-only":       {nil, []string{"/proc"}, false},
		"another file's mask": {[]string{"/proc/version"}, nil, false},
	} {
		r := &restorer{
			maker: &maker{
				Config: &Config{Spec: &specs.Spec{Root: &specs.Root{}, Linux: &specs.Linux{MaskedPaths: c.masked, ReadonlyPaths: c.readonly}}},
				mounts: &mount.Set{},
			},
			pid: cmd.Process.Pid, pidfd: pidfd,
		}
		if err := r.checkMounts(); (err == nil) != c.fits || err != nil && !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
