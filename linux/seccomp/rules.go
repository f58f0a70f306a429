// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"cmp"
	"iter"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// operator is a comparison; it indexes operators.
type operator uint8

const (
	equal operator = iota
	greaterEqual
	greater
	lessEqual
	less
	maskedEqual
	notEqual
)

var operators = [...]specs.LinuxSeccompOperator{
	equal: specs.OpEqualTo, greaterEqual: specs.OpGreaterEqual, greater: specs.OpGreaterThan, lessEqual: specs.OpLessEqual,
	less: specs.OpLessThan, maskedEqual: specs.OpMaskedEqual, notEqual: specs.OpNotEqual,
}

// maxRules bounds the work for one architecture. A section that needs more would
// not fit into a program, unless it says the same many times.
const maxRules = 1 << 16

// condition is about one argument. mask is all ones but for maskedEqual, whose
// value has no other bits.
type condition struct {
	arg         uint8
	op          operator
	value, mask uint64
}

// rule is a verdict for a call whose conditions all hold. They are sorted by
// argument.
type rule struct {
	ret   uint32
	entry int // of the section, for errors
	conds []condition
}

// low is conds as an architecture with 32-bit arguments sees them.
func low(conds []condition) []condition {
	out := slices.Clone(conds)
	for i := range out {
		out[i].value &= 0xffffffff
		out[i].mask &= 0xffffffff
	}
	return trim(out)
}

// trim drops conditions that always hold.
func trim(conds []condition) []condition {
	return slices.DeleteFunc(slices.Clone(conds), func(c condition) bool { return c.op == maskedEqual && c.mask == 0 })
}

// through is a rule's conditions as they are for sub-call nr of socketcall(2) or
// ipc(2): the first argument is the sub-call. What there was about it is dropped,
// as libseccomp does.
func through(conds []condition, nr uint64) []condition {
	out := []condition{{op: equal, value: nr, mask: 0xffffffff}}
	for _, c := range conds {
		if c.arg != 0 {
			out = append(out, c)
		}
	}
	return out
}

// ruleset is the rules of an architecture. An element of uses says that a number has
// a rule: number in the upper half, index of the rule in the lower. So they sort by
// number, and those of a number in the section's order.
type ruleset struct {
	arch    arch
	rules   []rule
	uses    []uint64
	largest uint32 // number that the section names, of calls that are not reached through others
}

// rulesOf makes the rules of an architecture.
func (p *profile) rulesOf(a arch) (*ruleset, error) {
	s := &ruleset{arch: a, uses: make([]uint64, 0, 2*len(nameEnds))}
	for i := range p.entries {
		e := &p.entries[i]
		if len(s.uses)+2*len(e.calls)*len(e.alternatives) > maxRules {
			return nil, invalid("syscalls["+strconv.Itoa(e.index)+"]", "more than %d rules", maxRules)
		}
		for _, c := range e.calls {
			if nr, ok := c.number(a); ok && (!architectures[a].mux || !c.muxed()) {
				s.largest = max(s.largest, nr)
			}
		}
		if e.ret == p.def {
			continue
		}
		for _, conds := range e.alternatives {
			if architectures[a].wide {
				conds = trim(conds)
			} else {
				conds = low(conds)
			}
			s.add(rule{e.ret, e.index, conds}, e.calls)
		}
	}
	slices.Sort(s.uses)
	return s, nil
}

// add adds a rule for calls: by their own numbers, and by those of the calls through
// which they are made, too.
func (s *ruleset) add(r rule, calls []call) {
	own := uint64(len(s.rules))
	s.rules = append(s.rules, r)
	for _, c := range calls {
		if architectures[s.arch].mux {
			if by, sub := c.sub(); by != "" {
				mux, _ := findCall(by)
				nr, _ := mux.number(s.arch)
				s.uses = append(s.uses, uint64(nr)<<32|uint64(len(s.rules)))
				s.rules = append(s.rules, rule{r.ret, r.entry, through(r.conds, sub)})
			}
		}
		if nr, ok := c.number(s.arch); ok {
			s.uses = append(s.uses, uint64(nr)<<32|own)
		}
	}
}

// numbers yields each number that has rules, and its uses.
func (s *ruleset) numbers() iter.Seq2[uint32, []uint64] {
	return func(yield func(uint32, []uint64) bool) {
		for start, i := 0, 1; i <= len(s.uses); i++ {
			if i < len(s.uses) && s.uses[i]>>32 == s.uses[start]>>32 {
				continue
			}
			if !yield(uint32(s.uses[start]>>32), s.uses[start:i]) {
				return
			}
			start = i
		}
	}
}

// whole is the verdict of a number's first rule without conditions, if there is
// one: it takes the call whole.
func (s *ruleset) whole(uses []uint64) (uint32, bool) {
	for _, u := range uses {
		if r := &s.rules[uint32(u)]; len(r.conds) == 0 {
			return r.ret, true
		}
	}
	return 0, false
}

// alternatives brings the rules of one number, which all have conditions, into the
// order in which they are tried.
//
// Rules with the same conditions and different verdicts contradict one another;
// so does a rule that begins like an earlier one, has less conditions, and would leave
// nothing of it. libseccomp refuses both (EEXIST). The other way round, the later rule is
// one that says nothing new, and is left out.
func (s *ruleset) alternatives(nr uint32, uses []uint64) ([]rule, error) {
	whole, begun := map[string]*rule{}, map[string]*rule{} // by the text of conditions, all and the first few
	var kept []rule
	for _, u := range uses {
		r := &s.rules[uint32(u)]
		keys := r.keys()
		if slices.ContainsFunc(keys[:len(keys)-1], func(k string) bool { return whole[k] != nil }) {
			continue
		}
		key := keys[len(keys)-1]
		for _, old := range []*rule{whole[key], begun[key]} {
			if old != nil && old.ret != r.ret {
				return nil, invalid("syscalls["+strconv.Itoa(r.entry)+"]", "contradicts syscalls[%d] (call %d of %s)", old.entry, nr, architectures[s.arch].name)
			}
		}
		for _, k := range keys[:len(keys)-1] {
			begun[k] = r
		}
		if whole[key] == nil {
			whole[key] = r
			kept = append(kept, *r)
		}
	}
	slices.SortStableFunc(kept, order)
	return kept, nil
}

// keys are the text of the first condition, of the first two, and so on.
func (r *rule) keys() []string {
	keys := make([]string, len(r.conds))
	var text []byte
	for i, c := range r.conds {
		text = c.append(text)
		keys[i] = string(text)
	}
	return keys
}

// order says which of two rules of a call is tried first. It is libseccomp's, in
// which the parts of a program are sorted: by argument, from the last; equalities
// before upper before lower bounds; then the bound that includes less. Of rules that
// begin alike the shorter one stands first.
func order(a, b rule) int {
	for i := range min(len(a.conds), len(b.conds)) {
		x, y := a.conds[i], b.conds[i]
		c := cmp.Or(cmp.Compare(y.arg, x.arg), cmp.Compare(x.op.class(), y.op.class()))
		if c == 0 {
			if c = cmp.Compare(y.value, x.value); x.op.class() == 1 {
				c = -c
			}
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a.conds), len(b.conds))
}

func (o operator) class() int {
	switch o {
	case lessEqual, less:
		return 1
	case greaterEqual, greater:
		return 2
	}
	return 0
}

// append adds the condition's bytes to a key.
func (c condition) append(key []byte) []byte {
	key = append(key, c.arg, byte(c.op))
	for shift := 0; shift < 64; shift += 8 {
		key = append(key, byte(c.value>>shift), byte(c.mask>>shift))
	}
	return key
}
