// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

//go:embed baseline.txt
var baselineText string

// entry is a line of baseline.txt: RESULT TEST CLASS [needs NEED] [# why].
type entry struct {
	status string // PASS or SKIP
	class  string
	need   string
	why    string
}

// baseline is what is expected of each test.
type baseline struct {
	tests map[string]entry
	have  map[string]bool // needs that are met
}

// needs are the words of baseline.txt, each with whether it is met here.
func needs(runtime string) map[string]bool {
	_, criu := exec.LookPath("criu")
	controllers, _ := os.ReadFile(cgroupRoot + "/cgroup.controllers") // none: no memory controller
	return map[string]bool{
		"":         true,
		"internet": false,
		"runc":     runtime == "io.containerd.runc.v2",
		"memory":   slices.Contains(strings.Fields(string(controllers)), "memory"),
		// It says so where the kernel is one that it cannot work with.
		"criu": criu == nil && exec.Command("criu", "check").Run() == nil,
	}
}

func readBaseline(runtime string) (baseline, error) {
	b := baseline{tests: map[string]entry{}, have: needs(runtime)}
	for line := range strings.Lines(baselineText) {
		text, why, _ := strings.Cut(strings.TrimSpace(line), "#")
		f := strings.Fields(text)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 && (len(f) != 5 || f[3] != "needs") {
			return b, fmt.Errorf("baseline.txt: %q", line)
		}
		e := entry{status: f[0], class: f[2], why: strings.TrimSpace(why)}
		if len(f) == 5 {
			e.need = f[4]
		}
		if _, ok := b.have[e.need]; !ok {
			return b, fmt.Errorf("baseline.txt: unknown need in %q", line)
		}
		b.tests[f[1]] = e
	}
	return b, nil
}

// missing is what the test needs and this machine or runtime has not.
func (b baseline) missing(e entry) string {
	if b.have[e.need] {
		return ""
	}
	return e.need
}

// skippedSubtests is a value of -test.skip for the subtests that lack what
// they need.
func (b baseline) skippedSubtests() string {
	var patterns []string
	for name, e := range b.tests {
		if test, sub, ok := strings.Cut(name, "/"); ok && b.missing(e) != "" {
			patterns = append(patterns, "^"+test+"$/^"+regexp.QuoteMeta(sub)+"$")
		}
	}
	return strings.Join(patterns, "|")
}
