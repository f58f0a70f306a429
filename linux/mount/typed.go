// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

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
		s.label(e)
		return e.compileOther()
	}
	s.label(e)
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
	e.fstype, e.source, e.maker, e.lateRO = "bind", source, makeBind, false
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
			o.flag(effect{bits: a.ms})
		}
		if o.recClear&a.attr != 0 {
			o.flag(effect{bits: a.ms, clear: true})
		}
	}
	if o.recClear&unix.MOUNT_ATTR__ATIME != 0 {
		switch o.recSet & unix.MOUNT_ATTR__ATIME {
		case unix.MOUNT_ATTR_NOATIME:
			o.flag(effect{bits: unix.MS_NOATIME})
		case unix.MOUNT_ATTR_STRICTATIME:
			o.flag(effect{bits: unix.MS_STRICTATIME})
		default:
			o.flag(effect{bits: unix.MS_RELATIME})
		}
	}
	o.recSet, o.recClear = 0, 0
}
