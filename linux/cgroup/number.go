// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"math"
	"strconv"
)

// noLimit is written in place of a number for no limit.
const noLimit = "max"

// limit formats a number for a cgroup file. A negative one means no limit.
func limit(n int64) string {
	if n < 0 {
		return noLimit
	}
	return strconv.FormatInt(n, 10)
}

// number reads a value of a cgroup file. "max" is the greatest number there is.
func number(s string) uint64 {
	if s == noLimit {
		return math.MaxUint64
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
