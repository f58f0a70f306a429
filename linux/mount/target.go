// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// overProc are the files of procfs that something may be mounted over: those
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
	mode    uint32 // type and permissions, when it was there before
}

// open resolves a path of the container and makes what is missing of it: a
// directory, or an empty file with file. The path never leaves the root, and
// once open the target stays the same inode whoever renames what
// (CVE-2021-30465, CVE-2024-45310).
func (s *Set) open(p string, file bool) (target, error) {
	fd, err := sys.OpenInRoot(s.rootFD, p, unix.O_PATH, 0)
	if err == nil {
		st, err := sys.Stat(fd)
		if err != nil {
			sys.Close(fd)
			return target{fd: -1}, err
		}
		return target{fd: fd, mode: st.Mode}, nil
	}
	if !missing(err) {
		return target{fd: -1}, err
	}
	fd, err = s.create(p, file)
	return target{fd: fd, created: true}, err
}

// maxLinks is how many links one path may lead through, as in the kernel.
const maxLinks = 40

// create makes a path of the container, one component after the other. Where a
// dangling link stands in the way, what it points to is made: images have such
// links for files that are mounted over them (/etc/resolv.conf).
func (s *Set) create(p string, file bool) (int, error) {
	for range maxLinks {
		fd, next, err := s.createFrom(p, file)
		if err != nil || next == "" {
			return fd, err
		}
		p = next
	}
	return -1, &os.PathError{Op: "openat2", Path: p, Err: unix.ELOOP}
}

// createFrom is create until the first dangling link; next is the path to go on
// with then.
func (s *Set) createFrom(p string, file bool) (fd int, next string, err error) {
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
	dir, have := -1, len(parts)
	for dir < 0 {
		have--
		if have < 0 {
			return -1, "", &os.PathError{Op: "openat2", Path: p, Err: unix.ENOENT}
		}
		dir, err = sys.OpenInRoot(s.rootFD, "/"+strings.Join(parts[:have], "/"), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil && !missing(err) {
			return -1, "", err
		}
	}
	if slices.Contains(parts[have:], "..") {
		sys.Close(dir)
		return -1, "", &os.PathError{Op: "openat2", Path: p, Err: unix.ENOENT}
	}
	for i := have; i < len(parts); i++ {
		link, err := makePart(dir, parts[i], file && i == len(parts)-1)
		if link != "" {
			sys.Close(dir)
			if !strings.HasPrefix(link, "/") {
				link = strings.Join(parts[:i], "/") + "/" + link
			}
			return -1, link + "/" + strings.Join(parts[i+1:], "/"), nil
		}
		child := -1
		if err == nil {
			child, err = openPart(dir, parts[i], file && i == len(parts)-1)
		}
		sys.Close(dir)
		if err != nil {
			return -1, "", err
		}
		dir = child
	}
	return dir, "", nil
}

// makePart makes one component. link is where a link in its place points to; a
// directory or file there already is for openPart to judge.
func makePart(dir int, name string, file bool) (link string, err error) {
	if file {
		err = sys.MknodAt(dir, name, unix.S_IFREG|0o644, 0)
	} else {
		err = sys.MkdirAt(dir, name, 0o755)
	}
	if !exists(err) {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", nil //nolint:nilerr // no link
	}
	return string(buf[:n]), nil
}

func openPart(dir int, name string, file bool) (int, error) {
	flags := unix.O_PATH | unix.O_NOFOLLOW
	if !file {
		flags |= unix.O_DIRECTORY
	}
	return sys.OpenAt(dir, name, flags)
}

// openFor resolves the destination of a mount, under the rules for procfs:
// /proc and /sys themselves must be ordinary directories (CVE-2019-19921,
// CVE-2023-27561), and a file of procfs may be covered only when overProc has it.
// src is the descriptor of a bind's tree, or -1.
func (s *Set) openFor(e *entry, src int) (target, error) {
	file := false
	if src >= 0 {
		st, err := sys.Stat(src)
		if err != nil {
			return target{fd: -1}, err
		}
		file = st.Mode&unix.S_IFMT != unix.S_IFDIR
	}
	if err := checkProc(e, src); err != nil {
		return target{fd: -1}, err
	}
	var t target
	var err error
	if e.fstype == "proc" || e.fstype == "sysfs" {
		t, err = s.openDirectory(e.dest)
	} else {
		t, err = s.open(e.dest, file)
	}
	if err != nil {
		return t, err
	}
	err = s.checkTarget(e, &t)
	if err == nil && !t.created && src >= 0 && file == (t.mode&unix.S_IFMT == unix.S_IFDIR) {
		err = unix.ENOTDIR // move_mount(2) says EINVAL, as for much else
	}
	if err != nil {
		sys.Close(t.fd)
		return target{fd: -1}, err
	}
	return t, nil
}

// openDirectory is open for a directory that no link may stand for.
func (s *Set) openDirectory(p string) (target, error) {
	created := false
	fd, err := sys.OpenInRoot(s.rootFD, p, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if missing(err) {
		created = true
		if fd, err = s.create(p, false); err == nil {
			sys.Close(fd)
			fd, err = sys.OpenInRoot(s.rootFD, p, unix.O_PATH|unix.O_NOFOLLOW, 0)
		}
	}
	if err != nil {
		return target{fd: -1}, err
	}
	st, err := sys.Stat(fd)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = errors.New("not an ordinary directory")
	}
	if err != nil {
		sys.Close(fd)
		return target{fd: -1}, err
	}
	return target{fd: fd, created: created, mode: st.Mode}, nil
}

// checkProc refuses by name: on /proc only a procfs, below it only overProc,
// even when nothing is mounted on /proc yet.
func checkProc(e *entry, src int) error {
	switch {
	case !below(e.dest, "/proc") || slices.Contains(overProc, e.dest):
		return nil
	case e.dest != "/proc":
		return fmt.Errorf("inside /proc")
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

// checkTarget refuses by what was found: the root itself, and a procfs that the
// path led to by another name than those checkProc allows.
func (s *Set) checkTarget(e *entry, t *target) error {
	if same, err := s.isRoot(t.fd); err != nil || same {
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
	fd, err := sys.OpenInRoot(s.rootFD, e.dest, unix.O_PATH, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return err
	}
	sys.Close(t.fd)
	t.fd = fd
	return nil
}

// isRoot tells whether fd is the container's root directory.
func (s *Set) isRoot(fd int) (bool, error) {
	a, err := sys.Stat(fd)
	if err != nil {
		return false, err
	}
	b, err := sys.Stat(s.rootFD)
	if err != nil || a.Dev != b.Dev || a.Ino != b.Ino {
		return false, err
	}
	am, err := sys.MountID(fd)
	if err != nil {
		return false, err
	}
	bm, err := sys.MountID(s.rootFD)
	return am == bm, err
}
