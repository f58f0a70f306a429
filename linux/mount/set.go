// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Config is what a container's filesystem is made of.
type Config struct {
	Spec   *specs.Spec   // not changed
	Rootfs []specs.Mount // containerd's rootfs mounts in order, Destination relative to the rootfs
	Bundle string        // absolute; relative bind sources start here, the rootfs mounts go to its rootfs
	// RootPath is root.path as an absolute host path.
	RootPath string

	// UserNS says that the container's mount namespace belongs to a user
	// namespace other than the shim's: new, or joined by path.
	UserNS bool
	// RootUID and RootGID are the ids of the container's root as the shim sees
	// them; files made in the container belong to them. Both 0 without UserNS.
	RootUID, RootGID uint32
	// UIDs and GIDs are the maps of the user namespace. Unused without UserNS.
	UIDs, GIDs []specs.LinuxIDMapping
	// OwnNetNS says that the network namespace belongs to the container's user
	// namespace, so that a sysfs can be made for it. Without UserNS it does not
	// matter.
	OwnNetNS bool
	// OwnCgroupNS says that the container is in a cgroup namespace other than
	// the initial one.
	OwnCgroupNS bool
	// CgroupMount is where the host's cgroup2 hierarchy is mounted, CgroupDir
	// the container's cgroup below it, both as host paths. Unused when no mount
	// is of type cgroup or cgroup2.
	CgroupMount, CgroupDir string

	// HostVisibleRootfs makes Prepare mount Rootfs in the shim's own mount
	// namespace, where hooks that run there see it. Otherwise it exists in the
	// container's only, unless a helper mounts some of it (helper.go).
	HostVisibleRootfs bool
	// NoPivotRoot moves the root over / instead of pivot_root(2): see
	// Set.ChildChroot.
	NoPivotRoot bool
	// Terminal says that the container's process gets a pty.
	Terminal bool
	// MapNS gives a user namespace with these maps, for mounts whose owners are
	// mapped; both nil: the container's own. The Set closes it. It is called by
	// Begin, and by Prepare for a HostVisibleRootfs; nil where no mount asks.
	MapNS func(uids, gids []specs.LinuxIDMapping) (*os.File, error)
	// Helper runs a program of the host to its end, in the host's namespaces; its error
	// says what the program printed. It is called by Prepare, for mounts of the rootfs
	// that a helper makes; nil: those are refused.
	Helper func(program string, args []string) error
	// CopyUp makes the copies of a batch, in their order, in the directory to. It is
	// called by Mount, where an option tmpcopyup asks for it (CopiesUp).
	CopyUp func(to *os.File, batch []Copy) error
	// InitPid is the pid of the container's init as its procfs has it. It is called
	// by Enter, where a path to protect begins with /proc/self or the like.
	InitPid func() (int, error)
}

// Set is all that is to be mounted for one container. Its methods are called
// one after another, in the order of the package's documentation; none may be
// called at the same time as another one.
//
// It owns the descriptors it opens until Enter has succeeded or Close.
type Set struct {
	c           Config
	root        string // host path of the root
	rootfs      []rootfsMount
	rootfsDir   string // host path where the request's rootfs goes
	entries     []*entry
	supers      []Superblock
	devices     []device
	setupDev    bool   // the container's /dev is ours to fill
	propagation uint64 // MS_* flags of rootfsPropagation; 0: not given
	pty         int    // index in supers of the devpts for the terminal; -1: none

	rootFD    int // the container's root, O_PATH
	rootStat  unix.Stat_t
	nullFD    int                 // the host's /dev/null, O_PATH
	nodes     int                 // a directory for device nodes, within bindDevices
	nodeCount int                 // how many nodes were made in it
	mapNS     map[string]*os.File // from Config.MapNS, by idMapping.String
	late      []lateMount         // mounts to be made read-only when all is in place
	lateOurs  []int               // those of late that Close closes
	lateFiles []*os.File          // likewise
	hosted    bool                // Rootfs is mounted on the host
}

// Prepare reads the spec and, with HostVisibleRootfs, mounts the rootfs on the
// host. What cannot be honoured is refused by the field's name: with
// errdefs.ErrInvalidArgument, or errdefs.ErrNotImplemented when another runtime
// could. The caller ends the Set with Undo and Close.
func Prepare(c *Config) (_ *Set, err error) {
	s := &Set{c: *c, pty: -1, rootFD: -1, nullFD: -1, nodes: -1}
	if err := s.compile(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Undo(), s.Close())
		}
	}()
	if len(s.rootfs) == 0 {
		return s, nil
	}
	// containerd makes the directory, older versions leave it to the shim.
	if err := os.Mkdir(s.rootfsDir, 0o711); err != nil && !os.IsExist(err) {
		return nil, err
	}
	if s.c.HostVisibleRootfs {
		s.hosted = true
		return s, s.mountHostRootfs()
	}
	return s, nil
}

// Superblocks are the filesystems that the child makes in its own namespaces:
// only a process in a pid namespace can make a procfs of it, and only one in a
// user namespace can make filesystems that belong to it.
func (s *Set) Superblocks() []Superblock { return s.supers }

// PTY is the index in Superblocks of the devpts in which the child opens the
// terminal of its process (`ptmx` relative to the detached mount, TIOCSPTLCK 0,
// TIOCGPTPEER). -1: there is no terminal, or it must come from OpenPTY.
func (s *Set) PTY() int { return s.pty }

// ChildChroot says that Enter moves nothing but the calling thread: the child
// does chdir("/..") and chroot(".") itself afterwards. `..` of the root leads to
// the mount on top of it.
func (s *Set) ChildChroot() bool { return s.c.NoPivotRoot }

// OpenRoot opens the container's root directory as its mount namespace has it,
// O_PATH, between Begin and Enter. The caller closes it before Enter.
func (s *Set) OpenRoot() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(s.rootFD), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), s.root), nil
}

// Close closes every descriptor; it can be called again. What is mounted stays: in the container's mount
// namespace it ends with it, on the host with Undo.
func (s *Set) Close() error {
	for _, e := range s.entries {
		sys.Close(e.fd)
		e.fd = -1
	}
	s.closeMapNS()
	sys.Close(s.lateOurs...)
	for _, f := range s.lateFiles {
		_ = f.Close() // a mount
	}
	s.lateFiles = nil
	sys.Close(s.rootFD, s.nullFD)
	s.late, s.lateOurs, s.rootFD, s.nullFD = nil, nil, -1, -1
	return nil
}
