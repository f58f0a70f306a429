// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// compileType finds the maker of a mount that is no bind.
func (e *entry) compileType(c *Config, field string) error {
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
		if !c.OwnCgroupNS {
			return e.compileCgroupBind(c, field)
		}
		e.fstype = "cgroup2"
	case "sysfs":
		if c.UserNS && !c.OwnNetNS {
			e.compileSysBind()
			return nil
		}
	case "proc", "tmpfs", "devpts", "mqueue":
	default:
		e.label(mountLabel(c.Spec))
		e.compileOther()
		return nil
	}
	e.label(mountLabel(c.Spec))
	// MS_I_VERSION has no meaning for any of these and no parameter.
	o.set &^= unix.MS_I_VERSION
	b, fits := superblock(e.fstype, e.source, e.dest, o, e.lateRO)
	if !fits {
		return invalid(field+".options", "an option of %s has more than %d bytes", e.fstype, sys.FSParam)
	}
	e.maker, e.super = makeChild, b
	return nil
}

// compileOther is for a type that no namespace owns.
func (e *entry) compileOther() {
	b, fits := superblock(e.fstype, e.source, e.dest, &e.options, e.lateRO)
	e.maker, e.super = makeFS, b
	if !fits {
		e.maker = makeLegacy
	}
}

// compileCgroupBind shows the host's cgroup2 hierarchy to a container that has
// no cgroup namespace. On a unified host it shows all of it, as runc does, because
// the paths in /proc/self/cgroup start at its root. On a hybrid host it shows the
// container's own cgroup, as runc does there for each v1 hierarchy. It is a bind,
// because a new mount from the initial cgroup namespace would set the hierarchy's
// options (nsdelegate, memory_recursiveprot) for the whole host.
func (e *entry) compileCgroupBind(c *Config, field string) error {
	source := c.CgroupMount
	if source != "/sys/fs/cgroup" {
		source = c.CgroupDir
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
