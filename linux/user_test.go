// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// homeIn has a child look HOME up below root.
func homeIn(t *testing.T, root *os.File, uid uint32) string {
	t.Helper()
	proc, err := sys.Proc()
	if err != nil {
		t.Fatal(err)
	}
	conn, end, err := fork.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := fork.NewProgram()
	p.Call("enter root", unix.SYS_FCHDIR, fork.FD(root.Fd(), "root"))
	p.Call("enter root", unix.SYS_CHROOT, fork.Str("."))
	sendPasswd(p, end, proc)
	p.Call("exit", unix.SYS_EXIT_GROUP)
	s := spawn{config: fork.Config{Program: p, Conn: end}}
	child, err := s.run()
	_ = end.Close()
	if err != nil {
		t.Fatal(err)
	}
	home, err := receiveHome(conn, p, uid)
	if err := errors.Join(err, abandon(child)); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(home), "HOME="), "\x00")
}

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
		{"large", "/home/mini", func(p string) error {
			return os.WriteFile(p, []byte(strings.Repeat("other:x:8:8::/:/bin/sh\n", 20000)+text), 0o600)
		}, false},
		{"too large", "/", func(p string) error {
			return os.WriteFile(p, []byte(strings.Repeat("other:x:8:8::/:/bin/sh\n", 50000)+text), 0o600)
		}, false},
		{"home too long", "/", func(p string) error {
			return os.WriteFile(p, []byte("mini:x:7:7::/"+strings.Repeat("x", unix.PathMax)+":/bin/sh\n"), 0o600)
		}, false},
		{"longest home", "/" + strings.Repeat("x", unix.PathMax-2), func(p string) error {
			return os.WriteFile(p, []byte("mini:x:7:7::/"+strings.Repeat("x", unix.PathMax-2)+":/bin/sh\n"), 0o600)
		}, false},
		{"magic link", "/", func(p string) error {
			root := filepath.Dir(filepath.Dir(p))
			if err := errors.Join(os.Mkdir(root+"/proc", 0o755), unix.Mount("/proc", root+"/proc", "", unix.MS_BIND, "")); err != nil {
				return err
			}
			return os.Symlink("/proc/"+strconv.Itoa(os.Getpid())+"/root"+root+"/outside", p)
		}, true},
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
		if strings.HasSuffix(c.what, "link") {
			seen = dir + "/outside"
		}
		_, err = unix.InotifyAddWatch(watch, seen, unix.IN_OPEN)
		must(err)
		if home := homeIn(t, root, 7); home != c.home {
			t.Errorf("%s: home is %q, want %q", c.what, home, c.home)
		}
		n, _ := unix.Read(watch, make([]byte, 4096))
		if opened := n > 0; opened == c.unopened {
			t.Errorf("%s: opened: %v", c.what, opened)
		}
		must(unix.Close(watch))
		must(root.Close())
		switch c.what {
		case "kernel's":
			must(unix.Unmount(passwd, unix.MNT_DETACH))
		case "magic link":
			must(unix.Unmount(dir+"/proc", unix.MNT_DETACH))
		}
	}
}
