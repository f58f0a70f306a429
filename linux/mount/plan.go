// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// maker is who makes a mount, and with which calls.
type maker uint8

const (
	makeBind    maker = iota // the thread clones a tree of the host: open_tree(2)
	makeChild                // the child makes a superblock
	makeFS                   // the thread makes a superblock: fsopen(2)
	makeLegacy               // the thread calls mount(2)
	makeRemount              // the thread changes what is mounted there
)

// entry is one mount of the spec.
type entry struct {
	index   int    // in spec.mounts, for errors
	fstype  string // "bind" for a bind
	source  string // absolute host path of a bind
	dest    string // clean and absolute
	options options
	maker   maker
	super   Superblock // makeChild, makeFS
	child   int        // makeChild: index in Set.supers
	inRoot  bool       // a bind whose source is inside the rootfs
	lateRO  bool       // made read-only when all is in place
	fd      int        // makeBind: the clone, from Begin until it is attached
}

// compile reads the spec. It makes no system call.
func (s *Set) compile() error {
	spec := s.c.Spec
	if spec.Root == nil || spec.Root.Path == "" {
		return invalid("root.path", "empty")
	}
	for _, p := range []string{s.c.Bundle, s.c.RootPath} {
		if !filepath.IsAbs(p) {
			return invalid("bundle", "%q is not an absolute path", p)
		}
	}
	s.root = s.c.RootPath
	s.rootfsDir = filepath.Join(s.c.Bundle, "rootfs")
	if err := s.compileRootfs(); err != nil {
		return err
	}
	if err := s.compileLinux(); err != nil {
		return err
	}
	for i := range spec.Mounts {
		e, err := s.compileMount(i, &spec.Mounts[i])
		if err != nil {
			return err
		}
		s.entries = append(s.entries, e)
	}
	s.setupDev = s.fillsDev()
	s.pty = s.findPTY()
	return nil
}

// compileLinux reads the fields of spec.linux that concern mounts.
func (s *Set) compileLinux() error {
	l := s.c.Spec.Linux
	if l == nil {
		return s.compileDevices(nil)
	}
	if l.MountLabel != "" {
		return unsupported("linux.mountLabel", "no mount labels yet")
	}
	if p := l.RootfsPropagation; p != "" {
		f, ok := flags[p]
		if !ok || f.class != classPropagation {
			return invalid("linux.rootfsPropagation", "%q is not a propagation", p)
		}
		if s.c.NoPivotRoot && f.bits&unix.MS_PRIVATE != 0 {
			return invalid("linux.rootfsPropagation", "%s without pivot_root shows the host's mounts", p)
		}
		s.propagation = f.bits
	}
	return s.compileDevices(l.Devices)
}

// compileMount decides how one mount of the spec is made.
func (s *Set) compileMount(i int, m *specs.Mount) (*entry, error) {
	field := fmt.Sprintf("mounts[%d]", i)
	e := &entry{
		index: i, fstype: m.Type, source: m.Source, fd: -1,
		dest: path.Clean("/" + m.Destination), options: parse(m.Options),
	}
	o := &e.options
	switch {
	case m.Destination == "":
		return nil, invalid(field+".destination", "empty")
	case strings.IndexByte(m.Destination+m.Source+m.Type+strings.Join(m.Options, ""), 0) >= 0:
		return nil, invalid(field, "holds a zero byte")
	case e.dest == "/":
		return nil, invalid(field+".destination", "%s is the container's root", m.Destination)
	case o.idmap != "":
		return nil, unsupported(field+".options", o.idmap)
	case len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0:
		return nil, unsupported(field+".uidMappings", "no mapped mounts yet")
	}
	if o.set&unix.MS_REMOUNT != 0 {
		e.maker = makeRemount
		return e, nil
	}
	if o.bind {
		return e, s.compileBind(field, e)
	}
	return e, s.compileType(field, e)
}

// compileBind checks a bind. Its type means nothing (config.md, "Mounts").
func (s *Set) compileBind(field string, e *entry) error {
	e.fstype, e.maker = "bind", makeBind
	if e.source == "" {
		return invalid(field+".source", "empty for a bind")
	}
	if len(e.options.data) > 0 {
		// It would have to change the superblock, which the host uses as well.
		return invalid(field+".options", "a bind takes no filesystem options (%s)", strings.Join(e.options.data, ","))
	}
	if e.options.copyUp {
		return invalid(field+".options", "tmpcopyup is for tmpfs")
	}
	e.source = s.hostPath(e.source)
	e.inRoot = len(s.rootfs) > 0 && !s.c.HostVisibleRootfs && below(filepath.Clean(e.source), filepath.Clean(s.rootfsDir))
	return nil
}

// compileType finds the maker of a mount that is no bind.
func (s *Set) compileType(field string, e *entry) error {
	o := &e.options
	if o.copyUp && e.fstype != "tmpfs" {
		return invalid(field+".options", "tmpcopyup is for tmpfs")
	}
	if o.recSet|o.recClear != 0 {
		// A new filesystem has no mounts below it: its tree is itself.
		o.foldRecursive()
	}
	// /dev is filled, and a tmpfs gets its mode and files, before it is closed.
	e.lateRO = o.set&unix.MS_RDONLY != 0 && (e.fstype == "tmpfs" || e.dest == "/dev")

	switch e.fstype {
	case "":
		return invalid(field+".type", "empty")
	case "bind", "none":
		return invalid(field+".type", "%s without the option bind or rbind", e.fstype)
	case "cgroup", "cgroup2":
		if !s.c.OwnCgroupNS {
			return s.compileCgroupBind(field, e)
		}
		e.fstype = "cgroup2"
	case "sysfs":
		if s.c.UserNS && !s.c.OwnNetNS {
			e.compileSysBind()
			return nil
		}
	case "proc", "tmpfs", "devpts", "mqueue":
	default:
		return e.compileOther()
	}
	// MS_I_VERSION has no meaning for any of these and no parameter.
	o.set &^= unix.MS_I_VERSION
	b, fits := superblock(e.fstype, e.source, e.dest, o, e.lateRO)
	if !fits {
		return invalid(field+".options", "an option of %s has more than %d bytes", e.fstype, sys.FSParam)
	}
	e.maker, e.super, e.child = makeChild, b, len(s.supers)
	s.supers = append(s.supers, b)
	return nil
}

func (e *entry) compileOther() error {
	b, fits := superblock(e.fstype, e.source, e.dest, &e.options, e.lateRO)
	e.maker, e.super = makeFS, b
	if !fits {
		e.maker = makeLegacy
	}
	return nil
}

// compileCgroupBind shows the host's cgroup2 hierarchy to a container that has
// no cgroup namespace: all of it on a unified host, as runc does, since the
// paths of /proc/self/cgroup start at its root; the container's own cgroup on a
// hybrid host, as runc does there for each v1 hierarchy. A bind, because a new
// mount from the initial cgroup namespace would set the hierarchy's options
// (nsdelegate, memory_recursiveprot) for the whole host.
func (s *Set) compileCgroupBind(field string, e *entry) error {
	source := s.c.CgroupMount
	if source != "/sys/fs/cgroup" {
		source = s.c.CgroupDir
	}
	if source == "" {
		return invalid(field+".type", "%s: the host has no cgroup2", e.fstype)
	}
	e.fstype, e.source, e.maker = "bind", source, makeBind
	e.options.data = nil
	return nil
}

// compileSysBind shows the host's /sys read-only: a user namespace that does not
// own the network namespace may not make a sysfs for it. The whole tree is
// read-only, /sys/fs/cgroup included (CVE-2023-25809).
func (e *entry) compileSysBind() {
	o := &e.options
	e.fstype, e.source, e.maker, e.lateRO = "bind", "/sys", makeBind, false
	o.rec, o.data = true, nil
	o.recSet |= uint64(o.mountAttrs()) | unix.MOUNT_ATTR_RDONLY
	o.set, o.cleared = 0, 0
}

// foldRecursive turns attributes of the whole tree into attributes of its root.
func (o *options) foldRecursive() {
	for _, a := range attributes {
		if o.recSet&a.attr != 0 {
			o.flag(flag{bits: a.ms})
		}
		if o.recClear&a.attr != 0 {
			o.flag(flag{bits: a.ms, clear: true})
		}
	}
	if o.recClear&unix.MOUNT_ATTR__ATIME != 0 {
		switch o.recSet & unix.MOUNT_ATTR__ATIME {
		case unix.MOUNT_ATTR_NOATIME:
			o.flag(flag{bits: unix.MS_NOATIME})
		case unix.MOUNT_ATTR_STRICTATIME:
			o.flag(flag{bits: unix.MS_STRICTATIME})
		default:
			o.flag(flag{bits: unix.MS_RELATIME})
		}
	}
	o.recSet, o.recClear = 0, 0
}

// hostPath makes a path of the spec absolute: relative ones start at the bundle.
// An absolute one stays as it is: `..` behind a link is for the kernel to follow.
func (s *Set) hostPath(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(s.c.Bundle, p)
}

// below tells whether p is dir or a path in it; both are clean.
func below(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// fillsDev tells whether /dev gets device nodes and links. As in runc, not when
// it is a bind of somebody else's directory.
func (s *Set) fillsDev() bool {
	for _, e := range s.entries {
		if e.fstype == "bind" && e.dest == "/dev" {
			return false
		}
	}
	return true
}

// findPTY finds the devpts that the terminal comes from: the last mount on
// /dev/pts, unless something covers it later.
func (s *Set) findPTY() int {
	if !s.c.Terminal {
		return -1
	}
	at := -1
	for _, e := range s.entries {
		switch {
		case e.maker == makeRemount:
		case e.dest == "/dev/pts" && e.fstype == "devpts" && e.maker == makeChild:
			at = e.child
		case e.dest == "/dev" || e.dest == "/dev/pts":
			at = -1
		}
	}
	return at
}
