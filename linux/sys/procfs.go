// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Proc is the host's procfs, opened once and before any container exists: every
// read and write of a process's attributes, of sysctls and id maps goes through
// it, never through a path that a container could have mounted over
// (CVE-2019-16884, CVE-2025-52881). It is verified to be a procfs root.
//
// The handle stays open for the life of the shim.
var Proc = sync.OnceValues(func() (*os.File, error) {
	fd, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/proc", Err: err}
	}
	f := os.NewFile(uintptr(fd), "/proc")
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return nil, &os.PathError{Op: "fstatfs", Path: "/proc", Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "fstat", Path: "/proc", Err: err}
	}
	const procRootIno = 1 // include/linux/proc_ns.h
	if fs.Type != unix.PROC_SUPER_MAGIC || st.Ino != procRootIno {
		return nil, &os.PathError{Op: "open", Path: "/proc", Err: unix.EXDEV}
	}
	return f, nil
})

// OpenProc opens a file below the host's procfs. It refuses magic links and mounts on the
// way, so that a file mounted over another is never mistaken for the kernel's (openat2(2)).
func OpenProc(path string, flags int) (*os.File, error) {
	root, err := Proc()
	if err != nil {
		return nil, err
	}
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS,
	}
	var fd int
	err = Retry(func() (err error) {
		fd, err = unix.Openat2(int(root.Fd()), path, &how)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: "/proc/" + path, Err: err}
	}
	return os.NewFile(uintptr(fd), "/proc/"+path), nil
}

// OpenProcLink opens the target of a magic link of the host's procfs, such as
// self/fd/7, 123/ns/net or 123/root. The directory is resolved as in OpenProc;
// only the last component is followed.
func OpenProcLink(dir, link string, flags int) (*os.File, error) {
	d, err := OpenProc(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var fd int
	err = Retry(func() (err error) {
		fd, err = unix.Openat(int(d.Fd()), link, flags|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat", Path: "/proc/" + dir + "/" + link, Err: err}
	}
	return os.NewFile(uintptr(fd), "/proc/"+dir+"/"+link), nil
}

// ReadProc reads a file below the host's procfs.
func ReadProc(path string) ([]byte, error) {
	f, err := OpenProc(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// WriteProc writes a file below the host's procfs in one write(2), as id maps and most
// attributes require.
func WriteProc(path, value string) error {
	f, err := OpenProc(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
