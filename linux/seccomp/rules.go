// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
)

// maxRules bounds the work for one architecture. A section with more rules does not fit
// into a program, unless it repeats itself.
const maxRules = 1 << 16

// rule is the verdict for a call whose conditions all hold.
type rule struct {
	ret   uint32
	entry int         // index in the section, for errors
	conds []condition // sorted by argument
}

// ruleset holds the rules of an architecture. An element of uses gives a rule to a number:
// the number is in the upper half, the index of the rule in the lower. So uses sort by
// number, and those of one number in the section's order.
type ruleset struct {
	arch    arch
	rules   []rule
	uses    []uint64
	largest uint32 // number in the section, except of calls that are reached through others
}

// rulesOf returns the rules of an architecture.
func (p *profile) rulesOf(a arch) (*ruleset, error) {
	s := &ruleset{arch: a, uses: make([]uint64, 0, 2*len(nameEnds))}
	for i := range p.entries {
		e := &p.entries[i]
		if len(s.uses)+2*len(e.calls)*len(e.alternatives) > maxRules {
			return nil, invalid(fmt.Sprintf("syscalls[%d]", e.index), "more than %d rules", maxRules)
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

// add adds a rule for calls: by their own numbers, and by the numbers of the calls
// through which they are reached.
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

// numbers yields each number that has rules, with its uses.
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

// whole returns the verdict of a number's first rule without conditions, which decides for
// every argument. It reports whether there is one.
func (s *ruleset) whole(uses []uint64) (uint32, bool) {
	for _, u := range uses {
		if r := &s.rules[uint32(u)]; len(r.conds) == 0 {
			return r.ret, true
		}
	}
	return 0, false
}

// alternatives returns the rules of one number in the order in which they are tried.
//
// Precondition: each rule has conditions.
//
// Rules with the same conditions and different verdicts contradict one another. So do two
// rules of which the later has only the first conditions of the earlier, and would leave
// nothing of it. libseccomp refuses both (EEXIST). A later rule that only adds conditions
// to an earlier one changes nothing and is left out.
func (s *ruleset) alternatives(nr uint32, uses []uint64) ([]rule, error) {
	whole := map[string]*rule{}  // by the text of all conditions
	prefix := map[string]*rule{} // by the text of the first few conditions
	var ordered []rule
	for _, u := range uses {
		r := &s.rules[uint32(u)]
		keys := r.keys()
		if slices.ContainsFunc(keys[:len(keys)-1], func(k string) bool { return whole[k] != nil }) {
			continue
		}
		key := keys[len(keys)-1]
		for _, old := range []*rule{whole[key], prefix[key]} {
			if old != nil && old.ret != r.ret {
				return nil, invalid(fmt.Sprintf("syscalls[%d]", r.entry), "contradicts syscalls[%d] (call %d of %s)",
					old.entry, nr, architectures[s.arch].name)
			}
		}
		for _, k := range keys[:len(keys)-1] {
			prefix[k] = r
		}
		if whole[key] == nil {
			whole[key] = r
			ordered = append(ordered, *r)
		}
	}
	slices.SortStableFunc(ordered, order)
	return ordered, nil
}

// keys returns the text of the first condition, of the first two, and so on.
func (r *rule) keys() []string {
	keys := make([]string, len(r.conds))
	var text []byte
	for i, c := range r.conds {
		text = c.append(text)
		keys[i] = string(text)
	}
	return keys
}

// order compares two rules of a call by when they are tried. It is libseccomp's order of
// the parts of a program: the last argument first; then equalities, upper bounds, lower
// bounds; then the narrower bound. Of two rules that begin alike, the shorter comes first.
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
