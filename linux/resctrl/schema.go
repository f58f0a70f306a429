// SPDX-License-Identifier: Apache-2.0

package resctrl

import (
	"fmt"
	"strings"
)

// schemata holds values by resource and domain: `L3:0=7f0;1=1f` is {L3: {0: 7f0, 1: 1f}}.
type schemata map[string]map[string]string

func parseSchemata(text string) schemata {
	all := schemata{}
	for line := range strings.Lines(text) {
		resource, values, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		domains := map[string]string{}
		for v := range strings.SplitSeq(values, ";") {
			domain, value, _ := strings.Cut(v, "=")
			domains[plain(domain)] = plain(value)
		}
		all[strings.TrimSpace(resource)] = domains
	}
	return all
}

// plain returns one form of a number, without leading zeros, in lower case.
func plain(number string) string {
	n := strings.TrimLeft(strings.ToLower(strings.TrimSpace(number)), "0")
	if n == "" {
		return "0"
	}
	return n
}

// differs describes a value of want that the schemata do not have, or returns "".
func (s schemata) differs(want schemata) string {
	for resource, domains := range want {
		for domain, value := range domains {
			if got := s[resource][domain]; got != value {
				return fmt.Sprintf("%s of %s is %q, not %q", resource, domain, got, value)
			}
		}
	}
	return ""
}
