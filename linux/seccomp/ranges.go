// SPDX-License-Identifier: Apache-2.0

package seccomp

// verdict says what happens to a call: it gets the return value or, if block is not 0,
// what the compiler's blocks[block-1] finds from its arguments.
type verdict struct {
	ret   uint32
	block int32
}

// span is a range of numbers, from first up to the next span.
type span struct {
	first uint32
	to    verdict
}

// spans are sorted and cover all numbers from 0 on. Neighbours differ.
type spans []span

// from gives v to the numbers from first on. Callers go upwards.
func (s spans) from(first uint32, v verdict) spans {
	if n := len(s); n > 0 && s[n-1].first == first {
		s = s[:n-1] // nothing was between
	}
	if n := len(s); n > 0 && s[n-1].to == v {
		return s
	}
	return append(s, span{first, v})
}

// numberVerdict is the verdict of one number.
type numberVerdict struct {
	nr uint32
	to verdict
}

// table holds the verdicts of an architecture's numbers.
type table struct {
	calls  []numberVerdict // sorted
	other  verdict         // of the numbers between them
	above  verdict         // of the numbers above limit
	limit  uint32          // the largest number that the section names
	active bool            // whether the limit counts
}

// add continues s with the numbers of t, which begin at base.
func (s spans) add(base uint32, t *table) spans {
	s = s.from(base, t.other)
	for _, c := range t.calls {
		if t.active && c.nr > t.limit {
			break // the direct number of a call that socketcall(2) has too
		}
		s = s.from(c.nr, c.to).from(c.nr+1, t.other)
	}
	if t.active {
		s = s.from(t.limit+1, t.above)
	}
	return s
}

// pair returns the numbers of x86_64 and those of x32. other is nil if x32 is not listed.
// The kernel tells numbers of x32 by one bit, whatever the other bits are.
func pair(wide, other *table, bad verdict) spans {
	s := spans(nil).add(0, wide)
	if other == nil {
		s = s.from(x32Bit, bad)
	} else {
		s = s.add(x32Bit, other)
	}
	switch {
	case wide.active:
		s = s.from(2*x32Bit, wide.above)
	case other == nil:
		s = s.from(2*x32Bit, bad)
	default:
		s = s.from(2*x32Bit, wide.other)
	}
	switch {
	case other == nil:
		// -1 is what a tracer writes to skip a call (seccomp(2)).
		s = s.from(3*x32Bit, bad).from(^uint32(0), wide.other)
	case other.active:
		s = s.from(3*x32Bit, other.above)
	default:
		s = s.from(3*x32Bit, other.other)
	}
	return s
}
