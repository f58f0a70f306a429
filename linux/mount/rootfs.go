// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rootfsMount is one of containerd's mounts that make up the rootfs. Its options
// are those of containerd's core/mount: the OCI flags, and loop and direct-io for
// an image file.
type rootfsMount struct {
	fstype, source string
	target         string // clean and absolute, below the rootfs
	options        options
	idmap          *idMapping
	loop, direct   bool
	helper         *helper  // the program that mounts it, or nil
	words          []string // its options, for the helper
}

// kind names the mount in errors.
func (m *rootfsMount) kind() string {
	if m.options.bind {
		return "bind"
	}
	return m.fstype
}

// compileRootfs reads the request's rootfs mounts.
func compileRootfs(c *Config) (mounts []rootfsMount, err error) {
	for i := range c.Rootfs {
		r := &c.Rootfs[i]
		field := fmt.Sprintf("rootfs[%d]", i)
		var m rootfsMount
		if h := helperOf(r.Type); h != nil {
			m, err = compileHelped(c, field, h, r)
		} else {
			m, err = compileRootfsMount(field, r)
		}
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// needsHost reports whether a rootfs must be mounted on the host. The helper of a
// mount, and the filesystem's server that it starts, belong into the host's mount
// namespace: they outlive the Create, and must not hold the container's. So the whole
// rootfs goes where hooks would see it, and is unmounted with it.
func needsHost(mounts []rootfsMount) bool {
	return slices.ContainsFunc(mounts, func(m rootfsMount) bool { return m.helper != nil })
}

// compileRootfsMount reads a mount that the shim makes itself.
func compileRootfsMount(field string, r *specs.Mount) (m rootfsMount, err error) {
	owners, rest, err := splitOwners(field, r.Options)
	if err != nil {
		return m, err
	}
	m = rootfsMount{
		fstype:  r.Type,
		source:  r.Source,
		target:  path.Clean("/" + r.Destination),
		options: parse(rest),
		idmap:   owners,
	}
	if err := m.cutContainerd(field); err != nil {
		return m, err
	}
	switch o := &m.options; {
	case o.idmap != "":
		return m, unsupported(field+".options", o.idmap)
	case o.bind && len(o.data) > 0:
		return m, invalid(field+".options", "a bind takes no filesystem options (%s)", strings.Join(o.data, ","))
	case o.bind && m.source == "":
		return m, invalid(field+".source", "empty for a bind")
	case m.fstype == "" && !o.bind:
		return m, invalid(field+".type", "empty")
	}
	return m, nil
}

// cutContainerd takes containerd's own options out of the data.
func (m *rootfsMount) cutContainerd(field string) error {
	var data []string
	for _, d := range m.options.data {
		switch {
		case d == "loop":
			m.loop = true
		case d == "direct-io":
			m.direct = true
		case strings.HasPrefix(d, "X-containerd."):
			return invalid(field+".options", "%s is for containerd's mount manager", d)
		default:
			data = append(data, d)
		}
	}
	if m.direct && !m.loop {
		data, m.direct = append(data, "direct-io"), false
	}
	m.options.data = data
	return nil
}
