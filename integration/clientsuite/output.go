// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"regexp"
	"strings"
)

// result is what became of a test.
type result struct {
	status  string // PASS, FAIL, SKIP, FLAKY; empty: it began and did not end
	seconds string
	failed  []string // its subtests that failed
}

var (
	began = regexp.MustCompile(`^=== RUN +(Test\w*)$`)
	ended = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (Test\w*)(?:/(.*))? \((.*)s\)$`)
)

// readResults reads the output of a test binary. Its flag -test.v=test2json
// puts the byte 0x16 before each line of the test framework's own, which may
// be amid what a test or the daemon prints.
func readResults(file string) (map[string]*result, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseResults(string(data)), nil
}

func parseResults(text string) map[string]*result {
	results := map[string]*result{}
	of := func(name string) *result {
		if results[name] == nil {
			results[name] = &result{}
		}
		return results[name]
	}
	for line := range strings.Lines(strings.ReplaceAll(text, "\x16", "\n")) {
		line = strings.TrimSuffix(line, "\n")
		if m := began.FindStringSubmatch(line); m != nil {
			of(m[1])
		}
		m := ended.FindStringSubmatch(line)
		switch {
		case m == nil:
		case m[3] == "":
			of(m[2]).status, of(m[2]).seconds = m[1], m[4]
		case m[1] == "FAIL":
			of(m[2]).failed = append(of(m[2]).failed, m[3])
		}
	}
	return results
}
