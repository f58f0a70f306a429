// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// plan is what a Config asks for: what is mounted where, and by whom.
type plan struct {
	root        string // host path of the root
	rootfs      []rootfsMount
	rootfsDir   string // host path where the request's rootfs goes
	onHost      bool   // the rootfs is mounted on the host
	entries     []*entry
	supers      []Superblock
	devices     []device
	setupDev    bool        // the container's /dev is ours to fill
	propagation propagation // rootfsPropagation
	pty         int         // index in supers of the devpts for the terminal; -1: none
}

// compile reads the spec and the request. It makes no system call.
func compile(c *Config) (p plan, err error) {
	spec := c.Spec
	if spec.Root == nil || spec.Root.Path == "" {
		return p, invalid("root.path", "empty")
	}
	for _, dir := range []string{c.Bundle, c.RootPath} {
		if !filepath.IsAbs(dir) {
			return p, invalid("bundle", "%q is not an absolute path", dir)
		}
	}
	p.root = c.RootPath
	p.rootfsDir = filepath.Join(c.Bundle, "rootfs")
	if p.rootfs, err = compileRootfs(c); err != nil {
		return p, err
	}
	p.onHost = c.HostVisibleRootfs || needsHost(p.rootfs)
	if err := p.compileLinux(c); err != nil {
		return p, err
	}
	for i := range spec.Mounts {
		e, err := p.compileMount(c, fmt.Sprintf("mounts[%d]", i), &spec.Mounts[i])
		if err != nil {
			return p, err
		}
		p.add(e)
	}
	p.setupDev = p.fillsDev()
	p.pty = -1
	if c.Terminal {
		p.pty = p.findPTY()
	}
	return p, nil
}

// compileLinux reads the fields of spec.linux that concern mounts.
func (p *plan) compileLinux(c *Config) (err error) {
	l := c.Spec.Linux
	if l == nil {
		p.devices, err = compileDevices(nil)
		return err
	}
	if name := l.RootfsPropagation; name != "" {
		f, ok := flags[name]
		if !ok || f.class != classPropagation {
			return invalid("linux.rootfsPropagation", "%q is not a propagation", name)
		}
		if c.NoPivotRoot && f.bits&unix.MS_PRIVATE != 0 {
			return invalid("linux.rootfsPropagation", "%s without pivot_root shows the host's mounts", name)
		}
		p.propagation = propagation(f.bits)
	}
	p.devices, err = compileDevices(l.Devices)
	return err
}

// compileMount decides how one mount of the spec is made.
func (p *plan) compileMount(c *Config, field string, m *specs.Mount) (*entry, error) {
	e := &entry{
		fstype:  m.Type,
		source:  m.Source,
		dest:    path.Clean("/" + m.Destination),
		options: parse(m.Options),
		fd:      -1,
	}
	switch {
	case m.Destination == "":
		return nil, invalid(field+".destination", "empty")
	case strings.IndexByte(m.Destination+m.Source+m.Type+strings.Join(m.Options, ""), 0) >= 0:
		return nil, invalid(field, "holds a zero byte")
	case e.dest == "/":
		return nil, invalid(field+".destination", "%s is the container's root", m.Destination)
	}
	if err := e.compileOwners(c, field, m); err != nil {
		return nil, err
	}
	if e.options.set&unix.MS_REMOUNT != 0 {
		e.maker = makeRemount
		return e, nil
	}
	if e.options.bind {
		return e, p.compileBind(c.Bundle, field, e)
	}
	return e, e.compileType(c, field)
}

// compileBind checks a bind. Its type means nothing (config.md, "Mounts").
func (p *plan) compileBind(bundle, field string, e *entry) error {
	e.fstype, e.maker = "bind", makeBind
	if e.source == "" {
		return invalid(field+".source", "empty for a bind")
	}
	if len(e.options.data) > 0 {
		// It would have to change the superblock, which the host uses as well.
		data := strings.Join(e.options.data, ",")
		return invalid(field+".options", "a bind takes no filesystem options (%s)", data)
	}
	if e.options.copyUp {
		return invalid(field+".options", "tmpcopyup is for tmpfs")
	}
	e.source = hostPath(bundle, e.source)
	e.inside, e.inRoot = insideRoot(e.source, p.root, p.rootfsDir)
	return nil
}

// add adds a mount, and its superblock if the child makes one.
func (p *plan) add(e *entry) {
	if e.maker == makeChild {
		e.child = len(p.supers)
		p.supers = append(p.supers, e.super)
	}
	p.entries = append(p.entries, e)
}

// roots returns the host paths on which something is mounted for the container.
func (p *plan) roots() []string {
	if len(p.rootfs) > 0 {
		return []string{p.rootfsDir, p.root}
	}
	return []string{p.root}
}

// hostPath makes a path of the spec absolute: relative ones start at the bundle.
// An absolute one stays as it is, because only the kernel can follow `..` behind a link.
func hostPath(bundle, p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(bundle, p)
}

// fillsDev reports whether /dev gets device nodes and links. As in runc, it does
// not when it is a bind of somebody else's directory.
func (p *plan) fillsDev() bool {
	for _, e := range p.entries {
		if e.fstype == "bind" && e.dest == "/dev" {
			return false
		}
	}
	return true
}

// findPTY returns the index in supers of the devpts that the terminal comes from:
// the last mount on /dev/pts, unless something covers it later. -1: there is none.
func (p *plan) findPTY() int {
	at := -1
	for _, e := range p.entries {
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
