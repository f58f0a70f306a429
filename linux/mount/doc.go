// SPDX-License-Identifier: Apache-2.0

// Package mount makes a container's filesystem: the rootfs, the mounts and
// devices of the spec, masked and read-only paths, and pivot_root.
//
// # Order
//
//	shim, its own namespaces   Prepare      reads the spec into a plan (plan.go)
//	                                        mounts the rootfs on the host if hooks must see it
//	                           Superblocks  lists what the child makes
//	child, own namespaces                   fsopen, fsconfig, fsmount; sends the detached mounts back
//	namespace thread           Begin        host propagation, bind sources, rootfs, file owner
//	                           Mount        spec mounts in order, devices, links, working directory
//	                           OpenPTY      only with a terminal for which PTY has no superblock
//	                           Console      the pty's slave on /dev/console
//	                           (hooks: createRuntime, createContainer)
//	                           Enter        late read-only mounts, read-only and masked paths,
//	                                        pivot_root, root propagation, read-only root
//	child                                   chdir("/..") and chroot(".") if ChildChroot is true
//	shim                       Close        closes descriptors, if Enter did not succeed
//	                           Undo         unmounts on the host after the container's end
//
// The thread calls Begin, Mount, Console, Enter. Begin needs nothing of the child and can
// run while the child makes its superblocks.
//
// # Files
//
// compile (plan.go) makes a plan of a Config without a system call. A Set carries it out
// (attach.go, enter.go, stage.go). It passes each part what that needs: a root (root.go,
// target.go, create.go) resolves and makes paths of the container in the name of a userNS,
// mapNamespaces (mapns.go) map owners, a rootfsMaker mounts the request's rootfs, a
// nodeMaker fills /dev, a protector (seal.go) and a masker cover paths. None of them
// knows the Set.
//
// # Who makes what
//
// The child makes proc, sysfs, tmpfs, devpts, mqueue and cgroup2 in its pid, network,
// IPC, cgroup and user namespaces. A thread that entered those would still make the
// shim's proc. The namespace thread makes everything else.
//
// The thread opens the sources of binds in the container's mount namespace while
// that is an untouched copy of the host's, not in the host's namespace before the
// clone. The copy has its propagation by then, so a clone of it has the right one.
// A clone that was opened on the host would be a peer of the host's mount first.
// In a user namespace the kernel has locked the copy's flags and submounts. With
// clones of the host's own mounts the container's root could remount a nosuid or
// read-only filesystem of the host without those flags. open_tree(2) costs the same
// there, and the child works meanwhile.
//
// If a helper mounts a part of the rootfs (helper.go), all of the rootfs is mounted on the
// host: the server of a FUSE filesystem outlives the helper and the Create, and must
// neither be in the container's namespaces nor hold them.
//
// # Paths
//
// A path of the host is resolved only while nothing of the container is mounted.
// A path of the container is resolved by openat2(RESOLVE_IN_ROOT,
// RESOLVE_NO_MAGICLINKS) from the root's descriptor and never twice: one descriptor is
// mounted on another. Mount resolves a source inside the rootfs like a container's path,
// when it is its turn (inside.go). Missing components are made one at a time below the
// descriptor of their parent. A dangling link is followed inside the root.
//
// # Flags
//
// A new filesystem that is read-only gets the flag on its superblock and on its
// mount, as with mount(2). A tmpfs, and whatever is on /dev, gets it only on the mount
// and at the very end. A bind with any flag gets exactly the named flags, as with
// `mount --bind -o`. Locked flags of a more privileged mount namespace stay; an
// option that asks to clear one fails. A bind without any flag keeps its source's.
// A tmpfs takes over the mode of an existing target when no option sets one. It does so
// by chmod, so that mountinfo shows no mode=.
//
// # Differences from runc, on purpose
//
//   - Mapped owners of a read-only bind of containerd's (uidmap=, gidmap=) are
//     mapped; containerd itself forgets it.
//   - A path that is made read-only keeps nosymfollow; a read-only tmpfs may be
//     covered by a later mount; of two recursive options that contradict each other
//     the last counts; tmpcopyup copies fifos. runc loses the first and refuses the
//     others.
//   - Something else in the place of a device node is an error (the spec). runc keeps it
//     silently.
//   - A bind without source, a type bind without the option: an error.
//   - `defaults`, alone of the OCI list's options, is data for the filesystem in
//     runc; here it means nothing. silent and loud alone change no flag of a bind.
//   - Access times: of several modes the last counts, in runc strictatime. On a
//     bind nodiratime leaves the mode alone, in runc it gives relatime. In a user
//     namespace a change of a locked mode is refused, where runc lets some pass
//     without an effect.
//   - Recursive attributes count for a new filesystem as well; runc ignores them.
//   - rootfsPropagation runbindable is for the root alone; in runc nothing can be
//     bound with it, and no path made read-only.
//   - A type cgroup mount is cgroup2, on a hybrid host as well.
//   - A sysfs in a user namespace that does not own the network namespace is a
//     read-only bind of the host's.
//   - A bind with mapped owners and no flag keeps its source's flags.
//   - A path that is protected is not shared in a root that is.
//   - A filesystem may be mounted over itself (move_mount(2) does, mount(2) not).
//   - Masks of files are read-only. They are of the host's /dev/null if the container's
//     is no null device; runc fails then.
//   - In a user namespace device nodes are made, with their owner and mode, on a tmpfs
//     of the host's user namespace, and bound. runc binds the host's nodes.
//   - A dangling link on the way to a mount point is followed inside the root.
//
// # Mapped owners
//
// A mount with mapped owners takes the mapping from a user namespace (Config.MapNS),
// and must be attached nowhere yet: Begin maps a bind's clone. Of an overlay it maps each
// layer. The layers are mounted on a scratch tmpfs that is unmounted before the overlay
// is attached (mapped.go).
//
// # Inodes of the host
//
// What this package itself binds or passes in is the container's own, or read-only, so
// that the container cannot change the host through it: masks (masker.go), device
// nodes (hostdevice.go), and /dev/console, which is of the container's devpts. The sysfs
// that replaces an own one is read-only with all below it (typed.go). The exception is
// the cgroup hierarchy of a container that is in the host's cgroup namespace and whose
// specification does not say ro: that is the host's, as with runc.
//
// # Ownership
//
// The Set owns every descriptor it opens, and the superblocks that Mount takes. The pty
// is the caller's. The number of sources and superblocks that are open is bounded
// (openAhead), except for new filesystems that are made read-only at the end. There are
// no locks: one caller, one call at a time. Mounts in the container's mount namespace end
// with it. Those on the host end with Undo, or after a crash with UnmountHost.
//
// Kernel floor 5.14: open_tree, move_mount, fsopen 5.2, openat2 5.6, STATX_MNT_ID
// 5.8, mount_setattr 5.12.
package mount
