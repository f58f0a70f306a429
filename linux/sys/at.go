// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"golang.org/x/sys/unix"
)

// OpenAt opens one name in the directory dirfd, or a host path with
// unix.AT_FDCWD. It follows links unless flags say O_NOFOLLOW.
func OpenAt(dirfd int, name string, flags int) (int, error) {
	fd := -1
	err := Retry(func() (err error) {
		fd, err = unix.Openat(dirfd, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, fail("openat", name, err)
	}
	return fd, nil
}

// MkdirAt is mkdirat(2).
func MkdirAt(dirfd int, name string, mode uint32) error {
	return fail("mkdirat", name, Retry(func() error { return unix.Mkdirat(dirfd, name, mode) }))
}

// MknodAt is mknodat(2). It follows no link and fails with EEXIST when there is
// anything at name, a dangling link included.
func MknodAt(dirfd int, name string, mode uint32, dev uint64) error {
	return fail("mknodat", name, Retry(func() error { return unix.Mknodat(dirfd, name, mode, int(dev)) }))
}

// SymlinkAt is symlinkat(2).
func SymlinkAt(target string, dirfd int, name string) error {
	return fail("symlinkat", name, Retry(func() error { return unix.Symlinkat(target, dirfd, name) }))
}

// UnlinkAt is unlinkat(2).
func UnlinkAt(dirfd int, name string, flags int) error {
	return fail("unlinkat", name, Retry(func() error { return unix.Unlinkat(dirfd, name, flags) }))
}

// Chown changes the owner of the inode that fd is open on, O_PATH or not.
func Chown(fd int, uid, gid uint32) error {
	return fail("fchownat", "", Retry(func() error {
		return unix.Fchownat(fd, "", int(uid), int(gid), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// SetXattr is setxattr(2).
func SetXattr(path, name, value string) error {
	return fail("setxattr", name, Retry(func() error { return unix.Setxattr(path, name, []byte(value), 0) }))
}

// Chmod changes the mode of the inode that fd is open on, which must not be
// O_PATH (fchmod(2)).
func Chmod(fd int, mode uint32) error {
	return fail("fchmod", "", Retry(func() error { return unix.Fchmod(fd, mode) }))
}

// Stat is fstat(2).
func Stat(fd int) (st unix.Stat_t, err error) {
	err = fail("fstat", "", Retry(func() error { return unix.Fstat(fd, &st) }))
	return st, err
}

// MountID is the identity of the mount that fd is on (statx(2), Linux 5.8).
func MountID(fd int) (uint64, error) {
	var st unix.Statx_t
	// A server of the file system has nothing to do with it.
	const flags = unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC
	err := Retry(func() error { return unix.Statx(fd, "", flags, unix.STATX_MNT_ID, &st) })
	return st.Mnt_id, fail("statx", "", err)
}

// Magic is the type of the filesystem that fd is on (statfs(2)).
func Magic(fd int) (int64, error) {
	var st unix.Statfs_t
	err := Retry(func() error { return unix.Fstatfs(fd, &st) })
	return int64(st.Type), fail("fstatfs", "", err) // the type differs by architecture
}

// ChdirTo is fchdir(2) for the calling thread's filesystem context.
// Precondition: the thread is locked and has unshared CLONE_FS.
func ChdirTo(fd int) error {
	return fail("fchdir", "", Retry(func() error { return unix.Fchdir(fd) }))
}

// Chdir is chdir(2); the precondition is ChdirTo's.
func Chdir(path string) error {
	return fail("chdir", path, Retry(func() error { return unix.Chdir(path) }))
}

// Chroot is chroot(2); the precondition is ChdirTo's.
func Chroot(path string) error {
	return fail("chroot", path, Retry(func() error { return unix.Chroot(path) }))
}
