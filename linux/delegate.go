// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// delegate gives the cgroup to the user that init runs as, where the container
// can reach it: in a new cgroup namespace, through a writable mount. Then it may
// make cgroups below, as systemd in a container does. A user that has no id on
// the host gets nothing.
func (m *maker) delegate(uids idMap) error {
	if !newNamespace(m.Spec, specs.CgroupNamespace) || !slices.ContainsFunc(m.Spec.Mounts, writableCgroup) {
		return nil
	}
	uid, ok := uids.host(m.Spec.Process.User.UID)
	if !ok || uid == 0 { // root has it already
		return nil
	}
	return m.group.Delegate(int(uid), -1) // the group id stays, as with runc and systemd
}

// writableCgroup reports whether the mount is of the container's cgroup at the usual
// place, and not read-only. Of ro and rw the last one counts.
func writableCgroup(m specs.Mount) bool {
	if !strings.HasPrefix(m.Type, "cgroup") || path.Clean(m.Destination) != "/sys/fs/cgroup" {
		return false
	}
	for _, o := range slices.Backward(m.Options) {
		if o == "ro" || o == "rw" {
			return o == "rw"
		}
	}
	return true
}
