// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"fmt"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filter is a compiled section. It is read-only.
type Filter struct {
	Program []unix.SockFilter // at most 4096 instructions
	Flags   uint              // of SECCOMP_SET_MODE_FILTER, with NEW_LISTENER if an action is NOTIFY
}

// Notifies reports whether installing the filter returns a listener's descriptor.
func (f *Filter) Notifies() bool { return f.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 }

// CompileFor compiles a section for a GOARCH, "amd64" or "arm64". It returns
// ErrInvalidArgument if the specification forbids the section, if the section contradicts
// itself, or if the program would be too long. It returns nil for a section with neither a
// default action nor calls, which runc takes for no filter too.
//
// Exported for tests: integration/seccomp compares the programs of all machines with
// those of libseccomp.
func CompileFor(goarch string, s *specs.LinuxSeccomp) (*Filter, error) {
	f := familyOf(goarch)
	if f == nil {
		return nil, fmt.Errorf("seccomp on %s: %w", goarch, errdefs.ErrNotImplemented)
	}
	if s == nil || s.DefaultAction == "" && len(s.Syscalls) == 0 {
		return nil, nil
	}
	p, err := read(s, f)
	if err != nil {
		return nil, err
	}
	c := &compiler{
		profile: p,
		known:   map[string]int32{},
		asm:     assembler{rets: map[uint32]label{}},
	}
	program, err := c.program()
	if err != nil {
		return nil, err
	}
	return &Filter{Program: program, Flags: p.flags}, check(program)
}

// compiler is the state of one compilation.
type compiler struct {
	profile *profile
	asm     assembler
	blocks  []block
	known   map[string]int32 // index of a block, by its text
}

// block is a check of arguments. Calls with the same rules share it.
type block struct {
	rules []rule
	wide  bool
	at    label // 0 until it is written
}

// program writes the sections from the last to the first.
func (c *compiler) program() ([]unix.SockFilter, error) {
	sections, err := c.sections()
	if err != nil {
		return nil, err
	}
	a := &c.asm
	next := a.ret(retKill)
	for i := len(sections) - 1; i >= 0; i-- {
		s := sections[i]
		a.ahead(c.search(s.spans))
		next = a.jump(unix.BPF_JEQ, s.audit, a.load(offNumber), next)
	}
	a.load(offArch)
	if a.full {
		return nil, invalid("syscalls", "the program would be longer than %d instructions", maxProgram)
	}
	return a.program(), nil
}

// section is the part of a program for the calls of one audit architecture.
type section struct {
	audit uint32
	spans spans
}

func (c *compiler) sections() (all []section, err error) {
	tables := map[arch]*table{}
	for _, a := range c.profile.archs {
		if tables[a], err = c.table(a); err != nil {
			return nil, err
		}
	}
	for _, a := range c.profile.archs {
		switch a {
		case x32: // with x86_64
		case x8664:
			spans := pair(tables[a], tables[x32], verdict{ret: retKill})
			all = append(all, section{architectures[a].audit, spans})
		default:
			all = append(all, section{architectures[a].audit, spans(nil).add(0, tables[a])})
		}
	}
	return all, nil
}

// table returns the verdict of each call of an architecture.
func (c *compiler) table(a arch) (*table, error) {
	rules, err := c.profile.rulesOf(a)
	if err != nil {
		return nil, err
	}
	t := &table{
		calls:  make([]numberVerdict, 0, len(rules.uses)),
		other:  verdict{ret: c.profile.def},
		above:  verdict{ret: retEnosys},
		limit:  rules.largest,
		active: rules.largest != 0 && !lets(c.profile.def),
	}
	for nr, uses := range rules.numbers() {
		ret, ok := rules.whole(uses)
		v := verdict{ret: ret}
		if !ok {
			ordered, err := rules.alternatives(nr, uses)
			if err != nil {
				return nil, err
			}
			v = verdict{block: c.block(ordered, architectures[a].wide)}
		}
		t.calls = append(t.calls, numberVerdict{nr, v})
	}
	return t, nil
}

// block returns the number of the block that checks the rules, counted from 1.
func (c *compiler) block(rules []rule, wide bool) int32 {
	key := []byte{0}
	if wide {
		key[0] = 1
	}
	for _, r := range rules {
		key = append(key, byte(len(r.conds)))
		key = binary.LittleEndian.AppendUint32(key, r.ret)
		for _, cond := range r.conds {
			key = cond.append(key)
		}
	}
	n, ok := c.known[string(key)]
	if !ok {
		c.blocks = append(c.blocks, block{rules: rules, wide: wide})
		n = int32(len(c.blocks))
		c.known[string(key)] = n
	}
	return n
}

// search writes the search for the loaded number in s.
func (c *compiler) search(s spans) label {
	a := &c.asm
	n := len(s)
	switch {
	case a.full:
		return label(len(a.code))
	case n == 1:
		return c.verdict(s[0].to)
	case n == 3 && s[0].to == s[2].to && s[2].first == s[1].first+1:
		no := c.verdict(s[0].to)
		yes := c.verdict(s[1].to)
		return a.jump(unix.BPF_JEQ, s[1].first, yes, no)
	}
	mid := n / 2
	if n > 3 && n%2 == 1 && mid%2 == 1 {
		mid-- // leaves spans of three, of which the middle one may be a single number
	}
	yes := c.search(s[mid:])
	no := c.search(s[:mid])
	return a.jump(unix.BPF_JGE, s[mid].first, yes, no)
}

// verdict returns a place that gives v.
func (c *compiler) verdict(v verdict) label {
	if v.block == 0 {
		return c.asm.ret(v.ret)
	}
	b := &c.blocks[v.block-1]
	if b.at == 0 {
		b.at = c.asm.rules(b.rules, b.wide, c.asm.ret(c.profile.def))
	}
	return b.at
}
