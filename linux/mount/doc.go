// SPDX-License-Identifier: Apache-2.0

// Package mount makes a container's filesystem: the rootfs, the mounts and
// devices of the spec, masked and read-only paths, and pivot_root.
//
// # Order
//
//	shim, its own namespaces   Prepare      reads the spec; mounts the rootfs on the host if hooks must see it
//	                           Superblocks  what the child is to make
//	child, own namespaces                   fsopen, fsconfig, fsmount; sends the detached mounts back
//	namespace thread           Begin        host propagation, bind sources, rootfs, file owner
//	                           Mount        spec mounts in order, devices, links, working directory
//	                           OpenPTY      only with a terminal that PTY has no superblock for
//	                           Console      the pty's slave on /dev/console
//	                           (hooks: createRuntime, createContainer)
//	                           Enter        late read-only mounts, read-only and masked paths, pivot_root, root propagation, read-only root
//	child                                   chdir("/..") and chroot(".") when ChildChroot says so
//	shim                       Close        descriptors, if Enter did not come to its end
//	                           Undo         host mounts, when the container is gone
//
// The thread calls Begin, Mount, Console, Enter. Begin needs nothing of the child: it can
// run while the child makes its superblocks.
//
// # Who makes what
//
// proc, sysfs, tmpfs, devpts, mqueue and cgroup2 are made by the child, in its
// pid, network, IPC, cgroup and user namespaces; a thread that entered those would
// still make the shim's proc. Everything else is made by the namespace thread.
//
// Bind sources are opened by the thread in the container's mount namespace while
// that is an untouched copy of the host's, not in the host's namespace before the
// clone. The copy has got its propagation by then, so a clone of it has the right
// one; opened on the host, every clone would be a peer of the host's mount first.
// And in a user namespace the kernel has locked the copy's flags and submounts;
// clones of the host's own mounts would let root of the container remount a
// host's nosuid or read-only filesystem without those flags. open_tree(2) there
// costs the same, and the child works meanwhile.
//
// What a helper mounts of the rootfs (helper.go) is mounted on the host, and all of the
// rootfs with it: the server of a FUSE file system outlives the helper and the Create,
// and must neither be in the container's namespaces nor hold them.
//
// # Paths
//
// A path of the host is resolved only while nothing of the container is mounted.
// A path of the container is resolved by openat2(RESOLVE_IN_ROOT,
// RESOLVE_NO_MAGICLINKS) from the root's descriptor and never twice: what is
// mounted is a descriptor, on a descriptor. A source inside the rootfs is resolved
// like a container's path, in Mount, when it is its turn (inside.go). Missing
// components are made one at a time below the descriptor of their parent; a dangling
// link is followed inside the root.
//
// # Flags
//
// A new filesystem that is read-only gets the flag on its superblock and on its
// mount, as by mount(2); a tmpfs, and whatever is on /dev, only on the mount and
// at the very end. A bind with any flag gets exactly the named flags, as by
// `mount --bind -o`; locked flags of a more privileged mount namespace stay unless
// an option asks to clear one, which fails. Without any it keeps its source's.
// tmpfs takes over the mode of an existing target when no option sets one, by
// chmod: mountinfo shows no mode= then.
//
// # Differences from runc, on purpose
//
//   - Mapped owners of a read-only bind of containerd's (uidmap=, gidmap=) are
//     mapped; containerd itself forgets it.
//   - A path that is made read-only keeps nosymfollow; a read-only tmpfs may be
//     covered by a later mount; of two recursive options that contradict each other
//     the last counts; tmpcopyup copies fifos. runc loses the first and refuses the
//     others.
//   - A device node in whose place something else is: an error (the spec), not
//     silently kept.
//   - A bind without source, a type bind without the option: an error.
//   - `defaults`, alone of the OCI list's options, is data for the filesystem in
//     runc; here it means nothing. silent and loud alone change no flag of a bind.
//   - Access times: of several modes the last counts, in runc strictatime. On a
//     bind nodiratime leaves the mode alone, in runc it gives relatime. In a user
//     namespace what would change a locked mode is refused, which runc lets pass
//     without an effect for some, and what would not is taken.
//   - Recursive attributes count for a new filesystem as well; runc ignores them.
//   - rootfsPropagation runbindable is for the root alone; in runc nothing can be
//     bound with it, and no path made read-only.
//   - A type cgroup mount is cgroup2, on a hybrid host as well.
//   - A sysfs in a user namespace that does not own the network namespace is a
//     read-only bind of the host's.
//   - A bind with mapped owners and no flag keeps its source's flags.
//   - A path that is protected is not shared in a root that is.
//   - A filesystem may be mounted over itself (move_mount(2) does, mount(2) not).
//   - Masks of files are read-only, and of the host's /dev/null where the container's
//     is no null device; runc fails there.
//   - In a user namespace device nodes are made, with their owner and mode, on a tmpfs
//     of the host's user namespace, and bound. runc binds the host's nodes.
//   - A dangling link on the way to a mount point is followed inside the root.
//
// # Mapped owners
//
// A mount whose owners are mapped needs a user namespace to take the mapping from
// (Config.MapNS), and must be attached nowhere yet: a bind's clone is mapped in
// Begin. Of an overlay, each layer is; what is in the way of making it stands on a
// tmpfs that is gone when the overlay is attached (mapped.go).
//
// # Inodes of the host
//
// What this package itself binds or passes in is the container's own, or read-only, so
// that nothing the container does to it is done to the host: masks (seal.go), device
// nodes (hostdevice.go), /dev/console, of the container's devpts. The sysfs that stands
// in for an own one is read-only with all below it (typed.go). The exception is the
// cgroup hierarchy of a container that is in the host's cgroup namespace and whose
// specification does not say ro: that is the host's, as with runc.
//
// # Ownership
//
// The Set owns every descriptor it opens, and the superblocks that Mount takes; the pty
// is the caller's. Of sources and superblocks it has a bounded number open (openAhead),
// but for new filesystems that are made read-only at the end. There are no locks: one caller, one call at a time. Mounts in the
// container's mount namespace end with it; those on the host with Undo, or after a
// crash with UnmountHost.
//
// Kernel floor 5.14: open_tree, move_mount, fsopen 5.2, openat2 5.6, STATX_MNT_ID
// 5.8, mount_setattr 5.12.
package mount
