// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd-mini/mini/integration/testenv"
)

// initMain is pid 1 of the bed.
func initMain() (int, error) {
	// The cgroup namespace is the thread's until the next process is started.
	runtime.LockOSThread()
	if err := surround(); err != nil {
		return 0, err
	}
	// Interrupts and the end of the terminal are for outer, which kills us. A
	// handler, unlike an ignored signal (nohup), does not pass on to the tests.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGHUP)
	cmd := again("inside")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("wait4", err)
		}
		if pid != cmd.Process.Pid {
			continue // an orphan
		}
		if status.Exited() {
			return status.ExitStatus(), nil
		}
		return 0, fmt.Errorf("the tests died of signal %v", status.Signal())
	}
}

// surround makes the mounts and the cgroup that the package comment tells of.
// Precondition: the thread is locked; the process is in the bed's cgroup.
func surround() error {
	outer, err := testenv.CgroupRoot()
	if err != nil {
		return err
	}
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	var own string
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			own = filepath.Join(outer, strings.TrimSpace(rest))
		}
	}
	// First the namespace, whose root is where we are, then away from the
	// root, so that it can hand its controllers to its children.
	if err := syscall.Unshare(syscall.CLONE_NEWCGROUP); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := os.WriteFile(filepath.Join(own, "leaf/cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return err
	}
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
		data                   string
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC, ""},
		{"bed", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=755"},
	} {
		if err := syscall.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := syscall.Unmount("/sys/fs/cgroup", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount /sys/fs/cgroup: %w", err)
	}
	if err := syscall.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mount /sys/fs/cgroup: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	return nil
}
