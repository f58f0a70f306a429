// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Dump returns the whole order as text, one step a line.
//
// Exported for tests: the golden files of package linux hold it.
func (s *Set) Dump() string {
	var b strings.Builder
	s.dumpBegin(&b)
	for _, e := range s.plan.entries {
		e.dump(&b)
	}
	if s.plan.setupDev {
		for i := range s.plan.devices {
			s.plan.devices[i].dump(&b, s.c.UserNS)
		}
		b.WriteString("link /dev: fd stdin stdout stderr core ptmx\n")
	}
	if p := s.c.Spec.Process; p != nil && p.Cwd != "" && p.Cwd != "/" {
		fmt.Fprintf(&b, "mkdir %s\n", p.Cwd)
	}
	if s.c.Terminal {
		fmt.Fprintf(&b, "console: superblock %d\n", s.plan.pty)
	}
	s.dumpEnter(&b)
	return b.String()
}

func (s *Set) dumpBegin(b *strings.Builder) {
	for i := range s.plan.rootfs {
		m := &s.plan.rootfs[i]
		where := "container"
		if s.plan.onHost {
			where = "host"
		}
		if m.helper != nil {
			fmt.Fprintf(b, "rootfs in %s: %s %q\n", where, m.helper.program, m.helperArgs(m.target))
			continue
		}
		fmt.Fprintf(b, "rootfs in %s: %s %s on %s%s\n", where, m.kind(), m.source, m.target, &m.options)
	}
	fmt.Fprintf(b, "propagation of the host's mounts: %s\n", s.plan.propagation.ofHost())
	for _, e := range s.plan.entries {
		if e.maker == makeBind && !e.inRoot {
			fmt.Fprintf(b, "clone %s%s%s\n", e.source, &e.options, e.idmap)
		}
	}
	fmt.Fprintf(b, "root %s\n", s.plan.root)
	if s.c.UserNS {
		fmt.Fprintf(b, "files belong to %d:%d\n", s.c.RootUID, s.c.RootGID)
	}
}

func (s *Set) dumpEnter(b *strings.Builder) {
	if l := s.c.Spec.Linux; l != nil {
		for _, p := range l.ReadonlyPaths {
			fmt.Fprintf(b, "read-only %s\n", p)
		}
		for _, p := range l.MaskedPaths {
			fmt.Fprintf(b, "mask %s\n", p)
		}
	}
	if s.c.NoPivotRoot {
		b.WriteString("move root\n")
	} else {
		b.WriteString("pivot_root\n")
	}
	if s.plan.propagation != 0 {
		fmt.Fprintf(b, "propagation of the root: %s\n", s.plan.propagation)
	}
	for _, e := range s.plan.entries {
		if e.lateRO {
			fmt.Fprintf(b, "read-only mount %s\n", e.dest)
		}
	}
	if s.c.Spec.Root.Readonly {
		b.WriteString("read-only root\n")
	}
}

func (e *entry) dump(b *strings.Builder) {
	switch e.maker {
	case makeChild:
		fmt.Fprintf(b, "attach superblock %d: %s\n", e.child, &e.super)
		e.super.dump(b)
	case makeFS:
		fmt.Fprintf(b, "fsopen: %s\n", &e.super)
		e.super.dump(b)
	case makeBind:
		if e.inRoot {
			fmt.Fprintf(b, "clone %s in the root%s%s on %s\n", e.inside, &e.options, e.idmap, e.dest)
			break
		}
		fmt.Fprintf(b, "attach clone of %s on %s\n", e.source, e.dest)
	case makeLegacy:
		fmt.Fprintf(b, "mount(2) %s %s on %s%s\n", e.fstype, e.source, e.dest, &e.options)
	case makeRemount:
		fmt.Fprintf(b, "remount %s%s\n", e.dest, &e.options)
	}
	if e.maker != makeBind {
		for _, p := range e.options.propagation {
			fmt.Fprintf(b, "\tpropagation %s\n", p)
		}
	}
}

func (b *Superblock) dump(w *strings.Builder) {
	for _, p := range b.Params {
		if p.Flag {
			fmt.Fprintf(w, "\t%s\n", p.Key)
		} else {
			fmt.Fprintf(w, "\t%s=%s\n", p.Key, p.Value)
		}
	}
	fmt.Fprintf(w, "\tattrs %#x\n", b.Attrs)
}

func (d *device) dump(b *strings.Builder, bind bool) {
	how := "mknod"
	if bind && d.mode&unix.S_IFMT != unix.S_IFIFO {
		how = "bind"
	}
	fmt.Fprintf(b, "%s %s %o %d:%d owner %d:%d\n", how, d.path, d.mode, unix.Major(d.dev), unix.Minor(d.dev), d.uid, d.gid)
}

// String shows what the options change, in hexadecimal where there are flags.
func (o *options) String() string {
	var b strings.Builder
	for _, f := range []struct {
		name string
		bits uint64
	}{{"set", o.set}, {"clear", o.cleared}, {"rset", o.recSet}, {"rclear", o.recClear}} {
		if f.bits != 0 {
			fmt.Fprintf(&b, " %s=%#x", f.name, f.bits)
		}
	}
	if o.rec {
		b.WriteString(" recursive")
	}
	if o.copyUp {
		b.WriteString(" tmpcopyup")
	}
	for _, p := range o.propagation {
		b.WriteString(" " + p.String())
	}
	if len(o.data) > 0 {
		b.WriteString(" data=" + strings.Join(o.data, ","))
	}
	return b.String()
}
