// SPDX-License-Identifier: Apache-2.0

package linux

import "golang.org/x/sys/unix"

// This file decides who makes a container's new namespaces: the clone of the child, the
// child itself, or a second clone by the child.

// forerun reports whether a process has to join namespaces before init is cloned: the
// user namespace that is to own init's new ones, or, where init gets a new user
// namespace, all others, as they belong to one in which it has no rights.
func (ns *namespaces) forerun() bool {
	if ns.joinsUser() {
		return true
	}
	for flag := range ns.join {
		if flag != unix.CLONE_NEWPID && ns.create&unix.CLONE_NEWUSER != 0 {
			return true
		}
	}
	return false
}

// joinsPID reports whether the container lives in a pid namespace of others. Its init is
// then born by a forerunner, which they do not see (forerunner.go).
func (ns *namespaces) joinsPID() bool { return ns.join[unix.CLONE_NEWPID] != nil }

// late reports whether the child makes the new namespaces itself, as it has to join
// others first. The right to join a pid namespace ends with a new user namespace as well.
func (ns *namespaces) late() bool {
	return ns.forerun() || ns.joinsPID() && ns.create&unix.CLONE_NEWUSER != 0
}

// joinsUser reports whether the container lives in somebody else's user namespace,
// such as its pod's.
func (ns *namespaces) joinsUser() bool { return ns.join[unix.CLONE_NEWUSER] != nil }

// atClone are the flags for clone3. A new cgroup namespace is never among them:
// its root would be the shim's cgroup and not the container's, as the child is
// moved after its namespaces were made (kernel/fork.c). A new time namespace
// neither: the thread that clones made it. And where the child first has to join
// namespaces, it makes the new ones itself (later, unshared).
func (ns *namespaces) atClone() int {
	if ns.late() {
		return 0
	}
	return ns.cloned()
}

// cloned leaves out the IPC namespace where a user namespace is new: /dev/mqueue
// belongs to who makes it, which is the host's root until the child is the
// container's (ipc/mqueue.c, mqueue_get_inode).
func (ns *namespaces) cloned() int {
	flags := ns.create &^ (unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME)
	if flags&unix.CLONE_NEWUSER != 0 {
		flags &^= unix.CLONE_NEWIPC
	}
	return flags
}

// later are the flags of a second clone by the child, after it has joined namespaces.
func (ns *namespaces) later() int {
	if !ns.late() || ns.joinsPID() {
		return 0
	}
	return ns.cloned()
}

// unshared are the flags of an unshare(2) in place of that clone. A child of this child
// would be in the pid namespace of others. What needs a clone is a new pid namespace,
// and there is none.
func (ns *namespaces) unshared() int {
	if !ns.late() || !ns.joinsPID() {
		return 0
	}
	return ns.cloned()
}
