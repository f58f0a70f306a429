// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// idMapping maps the owners of a mount's files: the id ContainerID on the filesystem
// appears as HostID on the mount.
type idMapping struct {
	uids, gids []specs.LinuxIDMapping // both nil: the maps of the container's user namespace
	rec        bool                   // maps the mounts below the topmost one as well
}

// String returns a text that Dump shows and that is different for different mappings.
func (m *idMapping) String() string {
	switch {
	case m == nil:
		return ""
	case m.uids == nil:
		return m.option() + "container"
	}
	return m.option() + "uid" + mapText(m.uids) + " gid" + mapText(m.gids)
}

func (m *idMapping) option() string {
	if m.rec {
		return " ridmap="
	}
	return " idmap="
}

func mapText(maps []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, e := range maps {
		fmt.Fprintf(&b, ",%d:%d:%d", e.ContainerID, e.HostID, e.Size)
	}
	return b.String()
}

// compileOwners reads idmap, ridmap, uidMappings and gidMappings of a mount. As
// in runc, mappings without either option mean idmap, and only binds have them.
func (e *entry) compileOwners(c *Config, field string, m *specs.Mount) error {
	o := &e.options
	switch uids, gids := len(m.UIDMappings) > 0, len(m.GIDMappings) > 0; {
	case o.idmap == "" && m.UIDMappings == nil && m.GIDMappings == nil:
		return nil
	case m.UIDMappings == nil && m.GIDMappings == nil && !c.UserNS:
		return invalid(field+".options", "%s without mappings and without a user namespace", o.idmap)
	case uids && !gids:
		return invalid(field+".gidMappings", "missing beside uidMappings")
	case gids && !uids:
		return invalid(field+".uidMappings", "missing beside gidMappings")
	case !uids && (m.UIDMappings != nil || m.GIDMappings != nil):
		return invalid(field+".uidMappings", "empty")
	case !o.bind || o.set&unix.MS_REMOUNT != 0:
		return unsupported(field+".options", "mapped owners of a mount that is no bind")
	case c.MapNS == nil:
		return unsupported(field+".options", "mapped owners")
	}
	err := errors.Join(checkMaps(field+".uidMappings", m.UIDMappings), checkMaps(field+".gidMappings", m.GIDMappings))
	if err != nil {
		return err
	}
	e.idmap = &idMapping{uids: m.UIDMappings, gids: m.GIDMappings, rec: o.idmap == "ridmap"}
	return nil
}

// checkMaps refuses what the kernel would refuse without saying which mount it is
// about (user_namespaces(7), "Defining user and group ID mappings").
func checkMaps(field string, maps []specs.LinuxIDMapping) error {
	const maxLines = 340
	if len(maps) > maxLines {
		return invalid(field, "%d lines, the kernel takes %d", len(maps), maxLines)
	}
	if err := checkMapText(field, maps); err != nil {
		return err
	}
	for i, m := range maps {
		if m.Size == 0 || wraps(m.ContainerID, m.Size) || wraps(m.HostID, m.Size) {
			return invalid(field, "%d:%d:%d is no range of ids", m.ContainerID, m.HostID, m.Size)
		}
		for _, n := range maps[:i] {
			if overlap(m.ContainerID, m.Size, n.ContainerID, n.Size) || overlap(m.HostID, m.Size, n.HostID, n.Size) {
				return invalid(field, "%d:%d:%d overlaps another range", m.ContainerID, m.HostID, m.Size)
			}
		}
	}
	return nil
}

// wraps reports whether a range reaches the id 1<<32-1, which is no id, or goes beyond it.
func wraps(id, size uint32) bool { return uint64(id)+uint64(size) > 1<<32-1 }

// checkMapText refuses maps whose text is longer than the kernel takes: a page
// (map_write, kernel/user_namespace.c).
func checkMapText(field string, maps []specs.LinuxIDMapping) error {
	length := 0
	for _, m := range maps {
		length += len(fmt.Sprintf("%d %d %d\n", m.ContainerID, m.HostID, m.Size))
	}
	if page := os.Getpagesize(); length >= page {
		return invalid(field, "%d bytes of text, the kernel takes %d", length, page-1)
	}
	return nil
}

// overlap reports whether two ranges have an id in common. Neither may wrap.
func overlap(a, sizeA, b, sizeB uint32) bool { return a < b+sizeB && b < a+sizeA }

// splitOwners takes containerd's options uidmap and gidmap out of those of a
// rootfs mount: `uidmap=CONTAINER:HOST:SIZE[,...]`, both or neither. They are for
// the whole tree, as in containerd.
func splitOwners(field string, opts []string) (owners *idMapping, rest []string, err error) {
	owners = &idMapping{rec: true}
	for _, o := range opts {
		key, text, ok := strings.Cut(o, "=")
		if !ok || key != "uidmap" && key != "gidmap" {
			rest = append(rest, o)
			continue
		}
		maps, err := parseMaps(text)
		if err != nil {
			return nil, nil, invalid(field+".options", "%s: %v", o, err)
		}
		if err := checkMaps(field+".options: "+key, maps); err != nil {
			return nil, nil, err
		}
		if key == "uidmap" {
			owners.uids = maps
		} else {
			owners.gids = maps
		}
	}
	switch {
	case owners.uids == nil && owners.gids == nil:
		return nil, rest, nil
	case owners.uids == nil || owners.gids == nil:
		return nil, nil, invalid(field+".options", "one of uidmap and gidmap without the other")
	}
	return owners, rest, nil
}

func parseMaps(text string) (maps []specs.LinuxIDMapping, err error) {
	for one := range strings.SplitSeq(text, ",") {
		f := strings.Split(one, ":")
		if len(f) != 3 {
			return nil, fmt.Errorf("%q is not CONTAINER:HOST:SIZE", one)
		}
		var n [3]uint32
		for i := range n {
			v, err := strconv.ParseUint(f[i], 10, 32)
			if err != nil {
				return nil, err
			}
			n[i] = uint32(v)
		}
		maps = append(maps, specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return maps, nil
}
