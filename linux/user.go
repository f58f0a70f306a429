// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// idMap maps ids of a user namespace to the host's.
type idMap []specs.LinuxIDMapping

// host is the host's id for id; false when the map leaves it out. An empty map
// is the host itself.
func (m idMap) host(id uint32) (uint32, bool) {
	if len(m) == 0 {
		return id, true
	}
	for _, e := range m {
		if id >= e.ContainerID && uint64(id) < uint64(e.ContainerID)+uint64(e.Size) {
			return e.HostID + (id - e.ContainerID), true
		}
	}
	return 0, false
}

// text is the map as /proc/PID/uid_map takes it (user_namespaces(7)).
func (m idMap) text() string {
	var b strings.Builder
	for _, e := range m {
		b.WriteString(strconv.FormatUint(uint64(e.ContainerID), 10) + " " +
			strconv.FormatUint(uint64(e.HostID), 10) + " " +
			strconv.FormatUint(uint64(e.Size), 10) + "\n")
	}
	return b.String()
}

// parseIDMap reads a uid_map or gid_map file.
func parseIDMap(b []byte) (m idMap) {
	for line := range bytes.Lines(b) {
		var n [3]uint64
		f := bytes.Fields(line)
		if len(f) != 3 {
			continue
		}
		for i := range n {
			n[i], _ = strconv.ParseUint(string(f[i]), 10, 32) // the kernel's own text
		}
		m = append(m, specs.LinuxIDMapping{ContainerID: uint32(n[0]), HostID: uint32(n[1]), Size: uint32(n[2])})
	}
	return m
}
