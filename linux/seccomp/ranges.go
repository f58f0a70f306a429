// SPDX-License-Identifier: Apache-2.0

package seccomp

// verdict is what happens to a call: a return value, or, where block is not 0, what
// blocks[block-1] of the compiler says of its arguments.
type verdict struct {
	ret   uint32
	block int32
}

// span is the numbers from first up to the next span's.
type span struct {
	first uint32
	to    verdict
}

// spans are sorted, begin with 0 and cover all numbers; neighbours differ.
type spans []span

// from says that numbers from first on get v. Callers go upwards.
func (s spans) from(first uint32, v verdict) spans {
	if n := len(s); n > 0 && s[n-1].first == first {
		s = s[:n-1] // nothing was between
	}
	if n := len(s); n > 0 && s[n-1].to == v {
		return s
	}
	return append(s, span{first, v})
}

// numbered is the verdict of one number.
type numbered struct {
	nr uint32
	to verdict
}

// table is what an architecture's numbers get.
type table struct {
	calls  []numbered // sorted
	other  verdict    // between them
	above  verdict    // above limit
	limit  uint32     // the largest number that the section names
	active bool       // there is a limit
}

// add continues s with the numbers of t, which begin at base.
func (s spans) add(base uint32, t *table) spans {
	s = s.from(base, t.other)
	for _, c := range t.calls {
		if t.active && c.nr > t.limit {
			break // a direct number of a call that socketcall(2) has, too
		}
		s = s.from(c.nr, c.to).from(c.nr+1, t.other)
	}
	if t.active {
		s = s.from(t.limit+1, t.above)
	}
	return s
}

// pair is the numbers of x86_64, with those of x32 where it is listed; else other
// is nil. The kernel knows numbers of x32 by one bit, whatever the others are.
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
