// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// samples are the values of each figure by contestant.
type samples map[string]map[string][]float64

func newSamples() samples { return samples{} }

func (s samples) add(figure, contestant string, value float64) {
	if s[figure] == nil {
		s[figure] = map[string][]float64{}
	}
	s[figure][contestant] = append(s[figure][contestant], value)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median sorts the values.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

// report prints the medians of the figures, with the ratio to runc's in
// brackets, and keeps them.
func (b *bench) report(s samples, figures ...string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "  ")
	for _, r := range b.runtimes {
		fmt.Fprintf(w, "\t%s", r.name)
	}
	fmt.Fprintln(w)
	for _, figure := range figures {
		fmt.Fprintf(w, "  %s", figure)
		medians := map[string]float64{}
		for name, values := range s[figure] {
			medians[name] = median(values)
		}
		for _, r := range b.runtimes {
			value, ok := medians[r.name]
			switch {
			case !ok:
				fmt.Fprint(w, "\t-")
			case r.name == "runc" || medians["runc"] == 0:
				fmt.Fprintf(w, "\t%.2f", value)
			default:
				fmt.Fprintf(w, "\t%.2f (%.2f)", value, value/medians["runc"])
			}
		}
		fmt.Fprintln(w)
		b.results[figure] = medians
	}
	_ = w.Flush() // to the terminal
}
