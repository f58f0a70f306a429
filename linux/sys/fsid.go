// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"

	"golang.org/x/sys/unix"
)

// SetFSIDs makes the calling thread create files as uid and gid and keeps its
// capabilities: leaving filesystem uid 0 takes the file capabilities out of the
// effective set (capabilities(7)), and capset puts them back.
//
// Precondition: the thread is locked. The calls are per thread, as the kernel's
// are, and never given back.
func SetFSIDs(uid, gid uint32) error {
	if _, err := unix.SetfsgidRetGid(int(gid)); err != nil {
		return fail("setfsgid", "", err)
	}
	if _, err := unix.SetfsuidRetUid(int(uid)); err != nil {
		return fail("setfsuid", "", err)
	}
	// setfsuid(2) reports no error: a second call returns the result of the first.
	if got, _ := unix.SetfsuidRetUid(-1); uint32(got) != uid {
		return fail("setfsuid", "", unix.EPERM)
	}
	if got, _ := unix.SetfsgidRetGid(-1); uint32(got) != gid {
		return fail("setfsgid", "", unix.EPERM)
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&head, &caps[0]); err != nil {
		return fail("capget", "", err)
	}
	for i := range caps {
		caps[i].Effective = caps[i].Permitted
	}
	return fail("capset", "", unix.Capset(&head, &caps[0]))
}

// WithoutOverride runs do without the capabilities that let root ignore the permissions of
// files. Precondition: SetFSIDs'.
func WithoutOverride(do func() error) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&head, &caps[0]); err != nil {
		return fail("capget", "", err)
	}
	less := caps
	less[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	if err := unix.Capset(&head, &less[0]); err != nil {
		return fail("capset", "", err)
	}
	err := do()
	if back := unix.Capset(&head, &caps[0]); back != nil {
		return fail("capset", "", back)
	}
	return err
}

// WithEffectiveIDs runs do as effective user uid and group gid, which is without any
// capability in the user namespace of this process unless uid is its root. What asks
// for these and not for those of SetFSIDs are the sysctls of a namespace. Then the
// filesystem ids are uid and gid, as after SetFSIDs. Precondition: SetFSIDs'.
func WithEffectiveIDs(uid, gid uint32, do func() error) error {
	oldUID, oldGID := unix.Geteuid(), unix.Getegid()
	// Not those of package unix, which are for all threads of the process.
	set := func(call string, nr, id uintptr) error {
		const keep = ^uintptr(0)
		if _, _, errno := unix.RawSyscall(nr, keep, id, keep); errno != 0 {
			return fail(call, "", errno)
		}
		return nil
	}
	if err := set("setresgid", unix.SYS_SETRESGID, uintptr(gid)); err != nil {
		return err
	}
	err := set("setresuid", unix.SYS_SETRESUID, uintptr(uid))
	if err == nil {
		err = do()
		err = errors.Join(err, set("setresuid", unix.SYS_SETRESUID, uintptr(oldUID)))
	}
	return errors.Join(err, set("setresgid", unix.SYS_SETRESGID, uintptr(oldGID)), SetFSIDs(uid, gid))
}
