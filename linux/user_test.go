// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestAttackPasswd: a container's /etc/passwd that is a device, a fifo or made up
// by the kernel is not opened with the shim's rights, which may do something.
func TestAttackPasswd(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNS, attackPasswd)
}

func attackPasswd(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const text = "mini:x:7:7::/home/mini:/bin/sh\n"
	for _, c := range []struct {
		what, home string
		make       func(path string) error
		unopened   bool
	}{
		{"file", "/home/mini", func(p string) error { return os.WriteFile(p, []byte(text), 0o600) }, false},
		{"link", "/home/mini", func(p string) error { return os.Symlink("/outside", p) }, false},
		{"device", "/", func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) }, true},
		{"fifo", "/", func(p string) error { return unix.Mkfifo(p, 0o666) }, true},
		{"kernel's", "/", func(p string) error {
			if err := os.WriteFile(p, nil, 0o600); err != nil {
				return err
			}
			return unix.Mount("/proc/version", p, "", unix.MS_BIND, "")
		}, true},
	} {
		dir := t.TempDir()
		passwd := dir + "/etc/passwd"
		must(os.Mkdir(dir+"/etc", 0o755))
		must(os.WriteFile(dir+"/outside", []byte(text), 0o600))
		must(c.make(passwd))
		root, err := os.Open(dir)
		must(err)
		watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		must(err)
		seen := passwd
		if c.what == "link" {
			seen = dir + "/outside"
		}
		_, err = unix.InotifyAddWatch(watch, seen, unix.IN_OPEN)
		must(err)
		if home := homeOf(root, 7); home != c.home {
			t.Errorf("%s: home is %q, want %q", c.what, home, c.home)
		}
		n, _ := unix.Read(watch, make([]byte, 4096))
		if opened := n > 0; opened == c.unopened {
			t.Errorf("%s: opened: %v", c.what, opened)
		}
		must(unix.Close(watch))
		must(root.Close())
		if c.what == "kernel's" {
			must(unix.Unmount(passwd, unix.MNT_DETACH))
		}
	}
}
