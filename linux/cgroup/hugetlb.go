// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hugetlbSettings: the limit of reservations, where the kernel has it (5.7),
// and that of use, which also ends what needs no reservation.
func hugetlbSettings(res *specs.LinuxResources) ([]setting, error) {
	var s []setting
	for i, l := range res.HugepageLimits {
		field := fmt.Sprintf("hugepageLimits[%d]", i)
		if !isPageSize(l.Pagesize) {
			return nil, invalid(field, fmt.Sprintf("pageSize %q is not like 2MB", l.Pagesize))
		}
		max := strconv.FormatUint(l.Limit, 10)
		s = append(s,
			setting{
				field:      field,
				controller: "hugetlb",
				file:       "hugetlb." + l.Pagesize + ".rsvd.max",
				value:      max,
				absentOK:   true,
			},
			setting{field: field, controller: "hugetlb", file: "hugetlb." + l.Pagesize + ".max", value: max})
	}
	return s, nil
}

// isPageSize reports whether s is a huge page's size as the kernel writes it in a
// file's name: a number and KB, MB or GB (mm/hugetlb_cgroup.c, mem_fmt).
func isPageSize(s string) bool {
	digits := strings.TrimRight(s, "BKMG")
	_, err := strconv.ParseUint(digits, 10, 32)
	unit := s[len(digits):]
	return err == nil && digits[0] != '0' && (unit == "KB" || unit == "MB" || unit == "GB")
}
