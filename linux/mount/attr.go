// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"golang.org/x/sys/unix"
)

// attributes pairs the MS_* flags that belong to one mount with the new mount
// interface's bits. The access-time modes are apart: they are one field.
var attributes = []struct{ ms, attr uint64 }{
	{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY},
	{unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID},
	{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV},
	{unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
	{unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW},
	{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME},
}

// superFlags pairs the MS_* flags that belong to the superblock with the
// parameter that fsconfig(2) knows every filesystem by (fs/fs_context.c). MS_RDONLY
// is both: mount(2) makes the mount and the superblock read-only. MS_SILENT and
// MS_I_VERSION have no parameter.
var superFlags = []struct {
	ms  uint64
	key string
}{
	{unix.MS_RDONLY, "ro"},
	{unix.MS_SYNCHRONOUS, "sync"},
	{unix.MS_DIRSYNC, "dirsync"},
	{unix.MS_LAZYTIME, "lazytime"},
	{unix.MS_MANDLOCK, "mand"},
}

// mountAttrs returns the attributes of a new mount, for fsmount(2).
func (o *options) mountAttrs() uint32 {
	attrs := o.atime()
	for _, a := range attributes {
		if o.set&a.ms != 0 {
			attrs |= a.attr
		}
	}
	return uint32(attrs)
}

// atime returns the access-time field. relatime, the kernel's default, is zero.
func (o *options) atime() uint64 {
	switch {
	case o.set&unix.MS_STRICTATIME != 0:
		return unix.MOUNT_ATTR_STRICTATIME
	case o.set&unix.MS_NOATIME != 0:
		return unix.MOUNT_ATTR_NOATIME
	}
	return unix.MOUNT_ATTR_RELATIME
}

// bindAttrs returns the change of the topmost mount of a bind. ok is false when the
// options ask for none. As with `mount --bind -o` of util-linux 2.27 and with runc, a
// bind with any flag gets exactly the flags that are named, and loses the others of its
// source. It keeps the source's access times unless a mode is named. An option that
// clears a mode (atime, norelatime, diratime) names none. The kernel, too, keeps the
// access times when a bind is remounted with none of their flags (path_mount,
// fs/namespace.c).
//
// keep is the same change without that loss. It is for a source whose flags are locked
// because it came from a more privileged mount namespace (mount_namespaces(7)), and
// fails only when the options ask to clear a locked flag.
func (o *options) bindAttrs() (exact, keep unix.MountAttr, ok bool) {
	const any = ^uint64(unix.MS_REMOUNT | unix.MS_SILENT)
	if (o.set|o.cleared)&any == 0 {
		return exact, keep, false
	}
	for _, a := range attributes {
		if a.ms == unix.MS_NODIRATIME && o.set&(a.ms|atimeModes) == 0 {
			continue
		}
		exact.Attr_clr |= a.attr
		if o.set&a.ms != 0 {
			exact.Attr_set |= a.attr
			keep.Attr_set |= a.attr
		}
		if o.cleared&a.ms != 0 || a.ms == unix.MS_NOSYMFOLLOW { // which the kernel never locks
			keep.Attr_clr |= a.attr
		}
	}
	if o.set&atimeModes != 0 || o.set&unix.MS_NODIRATIME != 0 && o.cleared&atimeModes != 0 {
		exact.Attr_clr |= unix.MOUNT_ATTR__ATIME
		exact.Attr_set |= o.atime()
		keep.Attr_clr |= unix.MOUNT_ATTR__ATIME
		keep.Attr_set |= o.atime()
	}
	return exact, keep, true
}

// legacyFlags returns the flags as mount(2) takes them.
func (o *options) legacyFlags() uintptr {
	f := o.set
	if o.bind {
		f |= unix.MS_BIND
		if o.rec {
			f |= unix.MS_REC
		}
	}
	return uintptr(f)
}
