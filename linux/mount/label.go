// SPDX-License-Identifier: Apache-2.0

package mount

// mountLabel is linux.mountLabel, the SELinux label of what is on the container's
// new filesystems; "" without.
func (s *Set) mountLabel() string {
	if l := s.c.Spec.Linux; l != nil {
		return l.MountLabel
	}
	return ""
}

// label gives a new filesystem the mount label, as runc does: with a parameter
// where the filesystem takes one, by an attribute of its root for mqueue. procfs,
// sysfs and cgroup2 have the host's labels, and a bind has its source's.
func (s *Set) label(e *entry) {
	label := s.mountLabel()
	if label == "" {
		return
	}
	switch e.fstype {
	case "proc", "sysfs", "cgroup2":
	case "mqueue":
		e.relabel = true
	default:
		// In quotes, because a label has commas.
		e.options.data = append(e.options.data, `context="`+label+`"`)
	}
}
