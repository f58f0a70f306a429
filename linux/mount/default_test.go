// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
)

// The mounts of containerd's default spec look as runc 1.5 leaves them.
func TestDefaultSpec(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t, bind("/etc/passwd", "/etc/hosts"), typed("tmpfs", "/ro", "ro"))
		before := openFiles(t)
		k := start(t, c)
		for _, f := range openFiles(t) {
			if strings.HasPrefix(f, "/") && !slices.Contains(before, f) {
				t.Errorf("%s is open after Enter", f)
			}
		}
		k.wantMount("/proc", "proc", "rw,nosuid,nodev,noexec,relatime")
		k.wantMount("/dev", "tmpfs", "rw,nosuid")
		k.wantMount("/dev/pts", "devpts", "rw,nosuid,noexec,relatime")
		k.wantMount("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec,relatime")
		k.wantMount("/dev/mqueue", "mqueue", "rw,nosuid,nodev,noexec,relatime")
		k.wantMount("/sys", "sysfs", "ro,nosuid,nodev,noexec,relatime")
		k.wantMount("/run", "tmpfs", "rw,nosuid")
		k.wantMount("/proc/sys", "proc", "ro,nosuid,nodev,noexec,relatime")
		if _, _, _, source, super := k.mountinfo("/dev/shm"); source != "shm" ||
			strings.TrimSuffix(super, ",inode64") != "rw,size=65536k" { // inode64: up to Linux 6.1
			t.Errorf("/dev/shm: source %s, superblock %s", source, super)
		}
		if _, _, _, _, super := k.mountinfo("/sys"); super != "ro" {
			t.Errorf("/sys: superblock %s, want ro", super)
		}
		k.want("ls /..", k.run("ls /"))
		k.want("cat /proc/1/comm /proc/keys /proc/interrupts", k.run("cat /proc/1/comm"))
		k.want(
			"ls -A /sys/firmware; echo x > /proc/sys/kernel/core_pattern",
			"/bin/sh: can't create /proc/sys/kernel/core_pattern: Read-only file system",
		)
		k.want("touch /sys/firmware/x", "touch: /sys/firmware/x: Read-only file system")
		k.want("stat -c '%n %a %t:%T %U' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty",
			"/dev/null 666 1:3 root\n/dev/zero 666 1:5 root\n/dev/full 666 1:7 root\n/dev/random 666 1:8 root\n"+
				"/dev/urandom 666 1:9 root\n/dev/tty 666 5:0 root")
		k.want("for l in ptmx fd stdin stdout stderr; do readlink /dev/$l; done",
			"pts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2")
		k.want("stat -c %a /dev /dev/shm /dev/pts/ptmx /run", "755\n1777\n666\n755")
		k.want("echo x > /dev/null && head -c 2 /dev/zero | od -An -x", "0000")
		k.want("awk '$5 == \"/\" {print $5}' /proc/self/mountinfo; ls /../tmp", "/")
	})
}

// openFiles are what the descriptors of this process are open on.
func openFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	var files []string
	for _, e := range entries {
		if f, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			files = append(files, f)
		}
	}
	return files
}
