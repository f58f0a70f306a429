// SPDX-License-Identifier: Apache-2.0

package mount

import specs "github.com/opencontainers/runtime-spec/specs-go"

// mountLabel returns linux.mountLabel, the SELinux label for what is on the
// container's new filesystems, or "".
func mountLabel(spec *specs.Spec) string {
	if spec.Linux == nil {
		return ""
	}
	return spec.Linux.MountLabel
}

// label gives a new filesystem the mount label, as runc does: with a parameter
// where the filesystem takes one, by an attribute of its root for mqueue. procfs,
// sysfs and cgroup2 have the host's labels, and a bind has its source's.
func (e *entry) label(label string) {
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
