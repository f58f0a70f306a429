// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// deviceAttacks change an inode in all ways that there are. An error is no matter.
var deviceAttacks = map[string]func(path string) error{
	"chmod":  func(path string) error { return os.Chmod(path, 0o1600) },
	"chown":  func(path string) error { return os.Chown(path, 999, 999) },
	"utimes": func(path string) error { return unix.Utimes(path, []unix.Timeval{{Sec: 1}, {Sec: 1}}) },
	"touch":  func(path string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, path, nil, 0) },
	"xattr":  func(path string) error { return unix.Setxattr(path, "trusted.mini", []byte("x"), 0) },
	"label":  func(path string) error { return unix.Setxattr(path, "security.mini", []byte("x"), 0) },
	"empty": func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err == nil {
			err = f.Close()
		}
		return err
	},
	"attributes": func(path string) error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		flags := 0x10 // FS_IMMUTABLE_FL
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.FS_IOC_SETFLAGS, uintptr(unsafe.Pointer(&flags)))
		return errno
	},
}

// hostDevices puts nodes of the test's own in place of the host's devices, and
// returns a function that tells what became of them.
func hostDevices(t *testing.T, names ...string) (state func() string) {
	t.Helper()
	dir := t.TempDir()
	for _, err := range []error{unix.Mount("tmpfs", dir, "tmpfs", 0, ""), os.Chmod(dir, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	for i, name := range names {
		var st unix.Stat_t
		at := fmt.Sprintf("%s/%d", dir, i)
		for _, do := range []func() error{
			func() error { return unix.Stat("/dev/"+name, &st) },
			func() error { return unix.Mknod(at, unix.S_IFCHR|0o666, int(st.Rdev)) },
			func() error { return unix.Mount(at, "/dev/"+name, "", unix.MS_BIND, "") },
		} {
			if err := do(); err != nil {
				t.Fatal(name, err)
			}
		}
	}
	return func() string {
		var text strings.Builder
		for i, name := range names {
			var st unix.Stat_t
			at := fmt.Sprintf("%s/%d", dir, i)
			list := make([]byte, 4096)
			n, err := unix.Listxattr(at, list)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Stat(at, &st); err != nil {
				t.Fatal(err)
			}
			st.Atim = unix.Timespec{}
			fmt.Fprintf(&text, "%s %+v %q\n", name, st, list[:n])
		}
		return text.String()
	}
}

// TestAttackNull: whatever is done to the streams that nobody asked for, to masked
// files and to device nodes is not done to the host's devices. It is done with all of
// the host's rights, through the mounts that the container has.
func TestAttackNull(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNS, func(t *testing.T) {
		state := hostDevices(t, "null", "zero", "full", "random", "urandom", "tty")
		for name, c := range map[string]struct {
			change func(*specs.Spec)
			userns bool
			own    bool // the streams are the container's null device
		}{
			"container":      {own: true},
			"user namespace": {userns: true, own: true},
			"no null device": {change: func(s *specs.Spec) {
				s.Mounts = append(s.Mounts[:1], specs.Mount{Destination: "/dev", Type: "bind", Source: t.TempDir(), Options: []string{"bind"}})
			}},
			"another file": {change: func(s *specs.Spec) {
				dir := t.TempDir()
				if err := unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
					t.Fatal(err)
				}
				s.Mounts = append(s.Mounts[:1], specs.Mount{Destination: "/dev", Type: "bind", Source: dir, Options: []string{"bind", "dev"}})
			}},
			"a link": {change: func(s *specs.Spec) {
				dir := t.TempDir()
				if err := os.Symlink("/proc/sys/kernel/core_pattern", dir+"/null"); err != nil {
					t.Fatal(err)
				}
				s.Mounts = append(s.Mounts[:1], specs.Mount{Destination: "/dev", Type: "bind", Source: dir, Options: []string{"bind"}})
			}},
		} {
			t.Run(name, func(t *testing.T) { attackNull(t, c.change, c.userns, c.own, state) })
		}
	})
}

func attackNull(t *testing.T, change func(*specs.Spec), userns, own bool, state func() string) {
	bundle := newBundle(t)
	spec := newSpec(t, "sleep", "1000")
	if userns {
		chown(t, bundle, 100000)
		spec = userSpec(t, "sleep", "1000")
	}
	if change != nil {
		change(spec)
	}
	spec.Linux.MaskedPaths = []string{"/proc/keys", "/proc/stat", "/proc/interrupts"}
	before := state()
	c := started(t, bundle, spec, nil)
	proc := &specs.Process{Args: []string{"sleep", "1000"}, Cwd: "/", Env: []string{"PATH=/bin"}}
	e, err := c.Exec(t.Context(), &ExecConfig{ID: "e", Process: proc})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Signal(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		if _, err := e.Wait(); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	var at []string
	for _, pid := range []int{c.Init().Pid(), e.Pid()} {
		for fd := range 3 {
			at = append(at, fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		}
	}
	streams := len(at)
	for _, p := range append(spec.Linux.MaskedPaths, c.mounts.Devices()...) {
		at = append(at, fmt.Sprintf("/proc/%d/root%s", c.Init().Pid(), p))
	}
	for i, path := range at {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(path, err)
		}
		if i < streams+len(spec.Linux.MaskedPaths) && (st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3)) {
			t.Errorf("%s is no null device: %+v", path, st)
		}
		for what, attack := range deviceAttacks {
			err := attack(path)
			if own && what == "chown" && i < streams && err != nil {
				t.Errorf("%s of %s: %v", what, path, err) // mongo's entrypoint does it
			}
			if after := state(); after != before {
				t.Fatalf("%s of %s: the host has\n%swhere it had\n%s", what, path, after, before)
			}
		}
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/fd/0", c.Init().Pid())); err != nil {
		t.Error(err)
	}
}
