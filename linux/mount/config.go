// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Config says what a container's filesystem is made of.
type Config struct {
	// Spec is the container's specification. The Set does not change it.
	Spec *specs.Spec
	// Rootfs lists containerd's mounts of the rootfs in order. Their Destination is
	// relative to the rootfs.
	Rootfs []specs.Mount
	// Bundle is the bundle's absolute path. Relative sources of binds start there, and
	// Rootfs is mounted on its directory rootfs.
	Bundle string
	// RootPath is root.path as an absolute host path.
	RootPath string

	// UserNS says that the container's mount namespace belongs to a user
	// namespace other than the shim's: new, or joined by path.
	UserNS bool
	// RootUID and RootGID are the ids of the container's root as the shim sees
	// them. Files made in the container belong to them. Both are 0 without UserNS.
	RootUID, RootGID uint32
	// UIDs and GIDs are the maps of the user namespace. They are unused without UserNS.
	UIDs, GIDs []specs.LinuxIDMapping
	// OwnNetNS says that the network namespace belongs to the container's user
	// namespace, so that a sysfs can be made for it. It is unused without UserNS.
	OwnNetNS bool
	// OwnCgroupNS says that the container is in a cgroup namespace other than
	// the initial one.
	OwnCgroupNS bool
	// CgroupMount is where the host's cgroup2 hierarchy is mounted, and CgroupDir is
	// the container's cgroup below it, both as host paths. They are unused when no
	// mount is of type cgroup or cgroup2.
	CgroupMount, CgroupDir string

	// HostVisibleRootfs makes Prepare mount Rootfs in the shim's own mount
	// namespace, where hooks that run there see it. Otherwise Rootfs exists in the
	// container's namespace only, unless a helper mounts some of it (helper.go).
	HostVisibleRootfs bool
	// NoPivotRoot moves the root over / instead of calling pivot_root(2): see
	// Set.ChildChroot.
	NoPivotRoot bool
	// Terminal says that the container's process gets a pty.
	Terminal bool
	// MapNS returns a user namespace with these maps, for mounts whose owners are
	// mapped. When both are nil it returns the container's own. The Set closes it.
	// Begin calls MapNS, and so does Prepare for a rootfs on the host. It may be nil if
	// no mount has mapped owners.
	MapNS func(uids, gids []specs.LinuxIDMapping) (*os.File, error)
	// Helper runs a program of the host to its end, in the host's namespaces. Its error
	// holds what the program printed. Prepare calls Helper for mounts of the rootfs
	// that a helper makes. If it is nil, such mounts are refused.
	Helper func(program string, args []string) error
	// CopyUp makes the copies of a batch, in their order, in the directory to. Mount
	// calls it for mounts with the option tmpcopyup (CopiesUp).
	CopyUp func(to *os.File, batch []Copy) error
	// InitPid returns the pid of the container's init as its procfs has it. Enter
	// calls it when a path to protect begins with /proc/self or the like.
	InitPid func() (int, error)
}
