// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"runtime"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filter is a compiled section. It is read-only.
type Filter struct {
	Program []unix.SockFilter // at most 4096 instructions
	Flags   uint              // of SECCOMP_SET_MODE_FILTER; SECCOMP_FILTER_FLAG_NEW_LISTENER where there is an action NOTIFY
}

// Notifies tells whether installing the filter gives a listener's descriptor.
func (f *Filter) Notifies() bool { return f.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 }

// Compile compiles a section for this machine. It is ErrInvalidArgument where the
// specification forbids it, where it contradicts itself, or where the program would
// be too long. nil comes back for a section that says nothing at all, neither a
// default action nor calls, which means no filter to runc, too.
func Compile(s *specs.LinuxSeccomp) (*Filter, error) {
	return CompileFor(runtime.GOARCH, s)
}

// CompileFor is Compile for a machine of another architecture, "amd64" or
// "arm64".
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
	c := &compiler{profile: p, known: map[string]int32{}, asm: assembler{rets: map[uint32]label{}}}
	program, err := c.program()
	if err != nil {
		return nil, err
	}
	return &Filter{Program: program, Flags: p.flags}, check(program)
}

// compiler is a compilation on its way.
type compiler struct {
	profile *profile
	asm     assembler
	blocks  []block
	known   map[string]int32 // index of a block, by its text
}

// block is a check of arguments, which calls may share.
type block struct {
	rules []rule
	wide  bool
	at    label // 0 where it is not written yet
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

// section is what the calls of an audit architecture get.
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
			all = append(all, section{architectures[a].audit, pair(tables[a], tables[x32], verdict{ret: retKill})})
		default:
			all = append(all, section{architectures[a].audit, spans(nil).add(0, tables[a])})
		}
	}
	return all, nil
}

// table finds the verdict of each call of an architecture.
func (c *compiler) table(a arch) (*table, error) {
	rules, err := c.profile.rulesOf(a)
	if err != nil {
		return nil, err
	}
	t := &table{
		calls: make([]numbered, 0, len(rules.uses)), other: verdict{ret: c.profile.def}, above: verdict{ret: retEnosys},
		limit: rules.largest, active: rules.largest != 0 && !lets(c.profile.def),
	}
	for nr, uses := range rules.numbers() {
		ret, ok := rules.whole(uses)
		v := verdict{ret: ret}
		if !ok {
			tried, err := rules.alternatives(nr, uses)
			if err != nil {
				return nil, err
			}
			v = verdict{block: c.block(tried, architectures[a].wide)}
		}
		t.calls = append(t.calls, numbered{nr, v})
	}
	return t, nil
}

// block is the number of a check, counted from 1.
func (c *compiler) block(rules []rule, wide bool) int32 {
	key := []byte{0}
	if wide {
		key[0] = 1
	}
	for _, r := range rules {
		key = append(key, byte(len(r.conds)), byte(r.ret), byte(r.ret>>8), byte(r.ret>>16), byte(r.ret>>24))
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

// search writes the search of the loaded number in s.
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

// verdict is a place that gives v.
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
