// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// judgement is a test's result beside what the baseline has.
type judgement struct {
	name string
	entry
	result
	verdict string // what to say of it; empty: as in the baseline
	worse   bool
}

// classes of baseline.txt, in the order of the table.
var classes = []string{"runtime", "criu", "runc-binary", "fixed-runc", "none"}

// judge compares the results of all tests that the command line asked for.
func (s *testSuite) judge(results map[string]*result) []judgement {
	var all []judgement
	for _, name := range s.all {
		if s.asked(name) {
			all = append(all, s.judgeOne(name, results[name]))
		}
	}
	for name, e := range s.baseline.tests {
		if test, _, sub := strings.Cut(name, "/"); sub && s.asked(test) && s.baseline.missing(e) != "" {
			all = append(all, s.judgeOne(name, nil))
		}
	}
	slices.SortFunc(all, func(a, b judgement) int { return strings.Compare(a.name, b.name) })
	return all
}

// asked says whether the command line asks for the test.
func (s *testSuite) asked(name string) bool {
	return s.options.run.MatchString(name) && (s.class == "" || s.class == s.baseline.tests[name].class)
}

func (s *testSuite) judgeOne(name string, r *result) judgement {
	e, known := s.baseline.tests[name]
	j := judgement{name: name, entry: e}
	need := s.baseline.missing(e)
	if r != nil {
		j.result = *r
	}
	switch {
	case need != "":
		j.result.status, j.verdict = "-", "left out, needs "+need+": "+e.why
	case r == nil:
		j.result.status, j.verdict, j.worse = "-", "was not run", true
	case r.status == "":
		j.result.status, j.verdict, j.worse = "-", "did not end", true
	case !known:
		j.verdict, j.worse = "is not in baseline.txt", true
	case r.status == "FLAKY":
		j.verdict = "failed, and passed when run again alone"
	case r.status != e.status && r.status == "PASS":
		j.verdict = "better than the baseline"
	case r.status != e.status:
		j.verdict, j.worse = "WORSE than the baseline: "+e.status, true
	}
	if r != nil && len(r.failed) > 0 {
		j.verdict += "; failed: " + strings.Join(r.failed, ", ")
	}
	return j
}

// stale lists the lines of the baseline that have no test.
func (s *testSuite) stale() []string {
	var lines []string
	for name := range s.baseline.tests {
		if test, _, _ := strings.Cut(name, "/"); !slices.Contains(s.all, test) {
			lines = append(lines, "baseline.txt has "+name+", and the suite has not")
		}
	}
	return lines
}

// verdict writes the results and prints the table; it returns errWorse if
// anything is worse than the baseline.
func (s *testSuite) verdict(out io.Writer, results map[string]*result, took time.Duration) error {
	judgements := s.judge(results)
	var lines strings.Builder
	for _, j := range judgements {
		line := fmt.Sprintf("%-5s %-50s %7s s  %s", j.result.status, j.name, j.seconds, j.verdict)
		fmt.Fprintln(&lines, strings.TrimSpace(line))
	}
	if err := os.WriteFile(logDir+"/results.txt", []byte(lines.String()), 0o644); err != nil {
		return err
	}
	return s.conclude(out, judgements, took)
}

// conclude prints what is remarkable, the table and the sum.
func (s *testSuite) conclude(out io.Writer, judgements []judgement, took time.Duration) error {
	bad := s.stale()
	for _, j := range judgements {
		if j.verdict != "" {
			fmt.Fprintf(out, "  %-5s %s: %s\n", j.result.status, j.name, j.verdict)
		}
		if j.worse {
			bad = append(bad, j.name)
		}
	}
	writeTable(out, judgements)
	fmt.Fprintf(out, "left over: %s\n", s.countLeft())
	for _, line := range s.left[:min(len(s.left), 5)] {
		fmt.Fprintf(out, "  %.160s\n", line)
	}
	if len(s.left) > 0 {
		bad = append(bad, "things left over")
	}
	fmt.Fprintf(out, "%.0f s; logs: %s\n", took.Seconds(), s.log)
	if len(bad) > 0 {
		return fmt.Errorf("%w: %s", errWorse, strings.Join(bad, ", "))
	}
	fmt.Fprintln(out, "nothing is worse than the baseline")
	return nil
}

// writeTable counts the results of each class.
func writeTable(out io.Writer, judgements []judgement) {
	columns := []string{"PASS", "FLAKY", "FAIL", "SKIP", "-"}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "class\tpass\tflaky\tfail\tskip\tnot run\t")
	for _, class := range append(classes, "") {
		counts, total := map[string]int{}, 0
		for _, j := range judgements {
			if class == "" || j.class == class {
				counts[j.result.status]++
				total++
			}
		}
		if total == 0 {
			continue
		}
		if class == "" {
			class = "all"
		}
		fmt.Fprintf(w, "%s\t", class)
		for _, c := range columns {
			fmt.Fprintf(w, "%d\t", counts[c])
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // as of the prints above
}

// countLeft is a count of each kind of thing left.
func (s *testSuite) countLeft() string {
	var parts []string
	for _, kind := range kinds {
		n := 0
		for _, line := range s.left {
			if strings.HasPrefix(line, kind+" ") {
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%s %d", kind, n))
	}
	return strings.Join(parts, ", ")
}
