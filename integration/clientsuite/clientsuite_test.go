// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParseResults(t *testing.T) {
	const text = "\x16=== RUN   TestA\n" +
		"half a line of the daemon\x16--- PASS: TestA (0.25s)\n" +
		"\x16=== RUN   TestB\n\x16=== RUN   TestB/one\n" +
		"\x16--- FAIL: TestB (1.00s)\n\x16    --- PASS: TestB/zero (0.00s)\n\x16    --- FAIL: TestB/one/two (1.00s)\n" +
		"\x16=== RUN   TestC\n\x16--- SKIP: TestC (0.00s)\n" +
		"\x16=== RUN   TestD\npanic: test timed out\n" +
		"a test prints --- PASS: TestE (0.00s)\n"
	want := map[string]*result{
		"TestA": {status: "PASS", seconds: "0.25"},
		"TestB": {status: "FAIL", seconds: "1.00", failed: []string{"one/two"}},
		"TestC": {status: "SKIP", seconds: "0.00"},
		"TestD": {},
	}
	if got := parseResults(text); !reflect.DeepEqual(got, want) {
		for name, r := range got {
			t.Errorf("%s: %+v, want %+v", name, r, want[name])
		}
	}
}

// small is a suite of three tests, and its baseline.
func small() *testSuite {
	return &testSuite{
		options: options{run: regexp.MustCompile("")},
		all:     []string{"TestPass", "TestSkip", "TestNeedy"},
		baseline: baseline{
			tests: map[string]entry{
				"TestPass":     {status: "PASS", class: "runtime"},
				"TestSkip":     {status: "SKIP", class: "none"},
				"TestNeedy":    {status: "PASS", class: "criu", need: "criu"},
				"TestPass/sub": {status: "PASS", class: "runtime", need: "criu"},
			},
			have: map[string]bool{"": true},
		},
	}
}

// TestJudge: everything but the result of the baseline, or a better one, is
// worse.
func TestJudge(t *testing.T) {
	good := map[string]*result{"TestPass": {status: "PASS"}, "TestSkip": {status: "SKIP"}}
	if all := small().judge(good); len(all) != 4 || all[0].result.status != "-" || all[2].name != "TestPass/sub" {
		t.Errorf("with what is left out: %+v", all)
	}
	for name, test := range map[string]struct {
		test  string
		got   *result
		worse bool
	}{
		"same":            {"TestPass", &result{status: "PASS"}, false},
		"fails":           {"TestPass", &result{status: "FAIL", failed: []string{"sub"}}, true},
		"skips":           {"TestPass", &result{status: "SKIP"}, true},
		"does not end":    {"TestPass", &result{}, true},
		"does not begin":  {"TestPass", nil, true},
		"flaky":           {"TestPass", &result{status: "FLAKY"}, false},
		"better":          {"TestSkip", &result{status: "PASS"}, false},
		"worse than skip": {"TestSkip", &result{status: "FAIL"}, true},
		"not known":       {"TestNew", &result{status: "PASS"}, true},
	} {
		s := small()
		if test.test == "TestNew" {
			s.all = append(s.all, "TestNew")
		}
		results := map[string]*result{"TestPass": good["TestPass"], "TestSkip": good["TestSkip"], test.test: test.got}
		worse := false
		for _, j := range s.judge(results) {
			worse = worse || j.worse
			if j.worse && j.name != test.test {
				t.Errorf("%s: %s is worse", name, j.name)
			}
		}
		if worse != test.worse {
			t.Errorf("%s: worse is %v", name, worse)
		}
	}
}

func TestSkippedSubtests(t *testing.T) {
	s := small()
	if got := s.baseline.skippedSubtests(); got != "^TestPass$/^sub$" {
		t.Errorf("%q", got)
	}
	s.baseline.have["criu"] = true
	if got := s.baseline.skippedSubtests(); got != "" {
		t.Errorf("%q with what it needs", got)
	}
}

func TestStale(t *testing.T) {
	s := small()
	s.all = s.all[1:]
	if got := s.stale(); len(got) != 2 || !strings.Contains(got[0]+got[1], "TestPass/sub") {
		t.Errorf("%q", got)
	}
}

// TestBaseline: the file can be read, and what is left out says why.
func TestBaseline(t *testing.T) {
	b, err := readBaseline("io.containerd.mini.v2")
	if err != nil {
		t.Fatal(err)
	}
	if len(b.tests) < 100 {
		t.Errorf("%d tests", len(b.tests))
	}
	for name, e := range b.tests {
		if (e.need != "" || e.status != "PASS") && e.why == "" {
			t.Errorf("%s: no reason", name)
		}
		if e.status != "PASS" && e.status != "SKIP" {
			t.Errorf("%s: %s", name, e.status)
		}
	}
}

func TestCountLeft(t *testing.T) {
	s := small()
	s.left = []string{"process 7 sleep", "cgroup /a/b", "cgroup /a/c"}
	if got := s.countLeft(); got != "process 1, socket 0, bundle 0, mount 0, cgroup 2" {
		t.Errorf("%q", got)
	}
}

// TestVerdictOfLeftovers: all tests pass and something is left.
func TestVerdictOfLeftovers(t *testing.T) {
	s := small()
	s.left = []string{"process 7 sleep"}
	results := map[string]*result{"TestPass": {status: "PASS"}, "TestSkip": {status: "SKIP"}}
	err := s.conclude(io.Discard, s.judge(results), time.Second)
	if err == nil || !strings.Contains(err.Error(), "left over") {
		t.Errorf("%v", err)
	}
}
