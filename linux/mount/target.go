// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// overProc lists the files of procfs that may be covered by a mount: those
// that lxcfs emulates, and two that container tools do.
var overProc = []string{
	"/proc/cpuinfo",
	"/proc/diskstats",
	"/proc/meminfo",
	"/proc/stat",
	"/proc/swaps",
	"/proc/uptime",
	"/proc/loadavg",
	"/proc/slabinfo",
	"/proc/sys/kernel/ns_last_pid",
	"/proc/sys/crypto/fips_enabled",
}

// target is a place in the container to mount on.
type target struct {
	fd      int
	created bool
	st      unix.Stat_t
}

// isDir reports whether the target is a directory.
func (t *target) isDir() bool { return t.st.Mode&unix.S_IFMT == unix.S_IFDIR }

// newTarget looks at an open target, and closes it on error.
func newTarget(fd int, created bool) (t target, err error) {
	t = target{fd: fd, created: created}
	if t.st, err = sys.Stat(fd); err != nil {
		sys.Close(fd)
		t.fd = -1
	}
	return t, err
}

// open resolves a path of the container and makes what is missing of it: a
// directory, or with file an empty file. The path never leaves the root. Once
// open, the target stays the same inode, whatever is renamed
// (CVE-2021-30465, CVE-2024-45310).
func (r *root) open(p string, file bool) (target, error) {
	fd, err := sys.OpenInRoot(r.fd, p, unix.O_PATH, 0)
	if err == nil {
		return newTarget(fd, false)
	}
	if missing(err) {
		fd, err = r.create(p, file)
	}
	if err != nil {
		return target{fd: -1}, err
	}
	return newTarget(fd, true)
}

// openFor resolves the destination of a mount under the rules for procfs:
// /proc and /sys themselves must be ordinary directories (CVE-2019-19921,
// CVE-2023-27561), and only the files of procfs that overProc lists may be covered.
// src is the descriptor of a bind's tree, or -1.
func (r *root) openFor(e *entry, src int) (t target, err error) {
	file := false
	var st unix.Stat_t
	if src >= 0 {
		if st, err = sys.Stat(src); err != nil {
			return target{fd: -1}, err
		}
		file = st.Mode&unix.S_IFMT != unix.S_IFDIR
	}
	if err := checkProc(e, src); err != nil {
		return target{fd: -1}, err
	}
	if e.fstype == "proc" || e.fstype == "sysfs" {
		t, err = r.openDirectory(e.dest)
	} else {
		t, err = r.open(e.dest, file)
	}
	if err != nil {
		return t, err
	}
	err = r.checkTarget(e, &t)
	if err == nil && src >= 0 && file == t.isDir() {
		// move_mount(2) says EINVAL, as for much else.
		err = fmt.Errorf("the source %s is %s, the destination %s: %w",
			e.source, kind(st.Mode), kind(t.st.Mode), unix.ENOTDIR)
	}
	if err != nil {
		sys.Close(t.fd)
		return target{fd: -1}, err
	}
	return t, nil
}

// openDirectory is like open for a directory, but refuses a link in its place.
func (r *root) openDirectory(p string) (target, error) {
	created := false
	fd, err := sys.OpenInRoot(r.fd, p, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if missing(err) {
		created = true
		if fd, err = r.create(p, false); err == nil {
			sys.Close(fd)
			fd, err = sys.OpenInRoot(r.fd, p, unix.O_PATH|unix.O_NOFOLLOW, 0)
		}
	}
	if err != nil {
		return target{fd: -1}, err
	}
	t, err := newTarget(fd, created)
	if err == nil && !t.isDir() {
		sys.Close(fd)
		return target{fd: -1}, errors.New("not an ordinary directory")
	}
	return t, err
}

// checkProc refuses by name: only a procfs may be mounted on /proc, and below it only
// the files in overProc may be covered, even when nothing is mounted on /proc yet.
func checkProc(e *entry, src int) error {
	switch {
	case !below(e.dest, "/proc") || slices.Contains(overProc, e.dest):
		return nil
	case e.dest != "/proc":
		return errors.New("inside /proc, where nothing but files such as /proc/meminfo may be covered")
	case e.fstype == "proc" || e.maker == makeRemount:
		return nil
	case src >= 0:
		magic, err := sys.Magic(src)
		if err != nil || magic == unix.PROC_SUPER_MAGIC {
			return err
		}
	}
	return errors.New("only a procfs may be mounted here")
}

// checkTarget refuses by what the path led to: the root itself, and a procfs that it
// reached by a name that checkProc does not allow.
func (r *root) checkTarget(e *entry, t *target) error {
	if same, err := r.is(t); err != nil || same {
		return errors.Join(err, errors.New("leads to the container's root"))
	}
	magic, err := sys.Magic(t.fd)
	if err != nil || magic != unix.PROC_SUPER_MAGIC {
		return err
	}
	if e.dest == "/proc" {
		return nil
	}
	if !slices.Contains(overProc, e.dest) {
		return errors.New("leads into a procfs")
	}
	fd, err := sys.OpenInRoot(r.fd, e.dest, unix.O_PATH, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return err
	}
	sys.Close(t.fd)
	t.fd = fd
	return nil
}
