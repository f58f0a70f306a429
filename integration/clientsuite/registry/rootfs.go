// SPDX-License-Identifier: Apache-2.0

package registry

import "slices"

// rootfs is the root file system of an image that runs here.
type rootfs struct {
	busybox []byte
	applets []string
	extra   tree
}

// passwd has the users that the suite runs as, by name or by number; games is
// containerd-stress's.
const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
games:x:5:60:games:/usr/games:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
backup:x:34:34:backup:/var/backups:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`

const group = `root:x:0:
daemon:x:1:
sys:x:3:
adm:x:4:
tty:x:5:
wheel:x:10:root
www-data:x:33:
backup:x:34:
games:x:60:
users:x:100:
nogroup:x:65534:
`

// nc stands before busybox's own. The suite sends SIGTERM to an "nc -l" that
// is the first process of its pid namespace, where the kernel drops a signal
// without a handler, and wants the exit status 143. The busybox that the suite
// was written for has an nc with a handler; Debian's is another, without.
const nc = `#!/bin/sh
trap 'kill $!; exit 143' TERM
/bin/busybox nc "$@" &
wait $!
`

// layer is the tar of the whole root file system.
func (r rootfs) layer(mark string) []byte {
	files := tree{
		{name: "bin/"},
		{name: "dev/"},
		{name: "etc/"},
		{name: "home/"},
		{name: "lib/"},
		{name: "proc/"},
		{name: "root/", mode: 0o700},
		{name: "run/"},
		{name: "sbin/"},
		{name: "sys/"},
		{name: "tmp/", mode: 0o1777},
		{name: "usr/"},
		{name: "usr/bin/"},
		{name: "usr/sbin/"},
		{name: "var/"},
		{name: "var/run/"},
		{name: "var/spool/"},
		{name: "var/www/"},
		{name: "bin/busybox", mode: 0o755, text: string(r.busybox)},
		{name: "bin/nc", mode: 0o755, text: nc},
		{name: "etc/group", text: group},
		{name: "etc/image", text: mark},
		{name: "etc/passwd", text: passwd},
	}
	for _, applet := range slices.Sorted(slices.Values(r.applets)) {
		if applet != "busybox" && applet != "nc" {
			// Hard links, as in the official image.
			files = append(files, file{name: "bin/" + applet, link: "bin/busybox", mode: 0o755})
		}
	}
	return append(files, r.extra...).tar()
}
