// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestCheckRelease(t *testing.T) {
	for release, ok := range map[string]bool{
		"5.13.19-arch1": false, "4.18.0-553.el8": false, "5.14.0": true, "5.15.0-rc1+": true,
		"6.1": true, "10.0.0": true, "unknown": true,
	} {
		err := checkRelease(release)
		if (err == nil) != ok {
			t.Errorf("%s: %v", release, err)
		}
		if err != nil && !strings.Contains(err.Error(), release+" is too old: mini needs 5.14 or later") {
			t.Errorf("%s: %v", release, err)
		}
	}
}

func TestCgroupMounts(t *testing.T) {
	const mountinfo = `25 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 25 0:26 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw
31 25 0:27 / /sys/fs/cgroup/my\040cpu\134 rw shared:4 master:1 - cgroup cgroup rw,cpu
32 25 0:27 /docker/x /mnt rw - cgroup cgroup rw,cpu
33 25 0:28 / /proc rw - proc proc rw
broken line
`
	want := []string{"/sys/fs/cgroup/unified", `/sys/fs/cgroup/my cpu\`}
	if got, err := cgroupMounts(mountinfo); err != nil || !slices.Equal(got, want) {
		t.Errorf("cgroupMounts = %q, %v, want %q", got, err, want)
	}
}

func TestJoinCgroupRefusesToLeave(t *testing.T) {
	for _, path := range []string{"/../..", "..", "/a/../../b"} {
		if err := JoinCgroup(path); !errors.Is(err, unix.EINVAL) {
			t.Errorf("JoinCgroup(%q) = %v", path, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for path, want := range map[string][2]string{
		"/a/b": {"/a", "b"},
		"/a":   {"/", "a"},
		"a":    {".", "a"},
		"/a/":  {"/a", ""},
	} {
		if dir, name := split(path); dir != want[0] || name != want[1] {
			t.Errorf("split(%q) = %q, %q", path, dir, name)
		}
	}
}

func TestFollowParentOOMScore(t *testing.T) {
	testenv.Subprocess(t, 0, func(t *testing.T) {
		want, err := oomScore(os.Getppid())
		if err != nil {
			t.Fatal(err)
		}
		if err := FollowParentOOMScore(); err != nil {
			t.Fatal(err)
		}
		if got, err := oomScore(os.Getpid()); got != min(want+1, maxOOMScore) {
			t.Errorf("score %d, %v; parent's %d", got, err, want)
		}
	})
}

func TestNewCoreCookie(t *testing.T) {
	testenv.Subprocess(t, 0, func(t *testing.T) {
		if err := syscall.Setpgid(0, 0); err != nil {
			t.Fatal(err)
		}
		err := NewCoreCookie()
		// ENODEV: no simultaneous multithreading; EINVAL: not built in.
		if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	})
}

// TestDaemonStart checks that a daemon gets its four descriptors whatever numbers they have
// in this process.
func TestDaemonStart(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, 0, func(t *testing.T) {
		image, err := Seal()
		if err != nil {
			t.Fatal(err)
		}
		// The lowest numbers, where the daemon's own will be.
		unix.Close(0)
		low, err := unix.FcntlInt(uintptr(image.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil || low != 0 {
			t.Fatalf("descriptor %d, %v", low, err)
		}
		fd, err := Listen(filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		d := Daemon{
			Image:  Image{fd: low, name: image.name},
			Args:   []string{"daemon", "-test.run=^$"},
			Log:    "none",
			Socket: fd,
		}
		pid, err := d.Start()
		if err != nil {
			t.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
			t.Errorf("the daemon: %v, status %d", err, status.ExitStatus())
		}
	})
}
