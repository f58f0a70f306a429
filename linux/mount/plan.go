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
	inRoot  bool       // a bind whose source is inside the root
	inside  string     // inRoot: the source as the container sees it
	relabel bool       // its root gets the mount label
	lateRO  bool       // made read-only when all is in place
	idmap   *idMapping // makeBind: whose the files are in the container; nil: the host's owners
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
	}
	if err := s.compileOwners(field, e, m); err != nil {
		return nil, err
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
	e.inside, e.inRoot = s.insideRoot(e.source)
	return nil
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
