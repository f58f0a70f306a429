// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"strconv"
	"strings"
)

// numberSet is a set of CPUs or memory nodes, a bit each, as the kernel takes
// them: in machine words.
type numberSet []uint64

// parseNumbers reads a list such as `0-3,7` (cpuset(7), "List format"), of numbers
// below limit. Spaces around and empty elements mean nothing, as in runc.
func parseNumbers(text string, limit int) (numberSet, error) {
	var set numberSet
	for elem := range strings.SplitSeq(text, ",") {
		if elem = strings.TrimSpace(elem); elem == "" {
			continue
		}
		low, high, isRange := strings.Cut(elem, "-")
		if !isRange {
			high = low
		}
		from, err := strconv.ParseUint(low, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", low)
		}
		to, err := strconv.ParseUint(high, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", high)
		}
		if from > to {
			return nil, fmt.Errorf("the range %q is the wrong way round", elem)
		}
		if to >= uint64(limit) {
			return nil, fmt.Errorf("%d is above %d", to, limit-1)
		}
		for i := from; i <= to; i++ {
			set = set.with(int(i))
		}
	}
	return set, nil
}

func (s numberSet) with(i int) numberSet {
	for len(s) <= i/64 {
		s = append(s, 0)
	}
	s[i/64] |= 1 << (i % 64)
	return s
}
