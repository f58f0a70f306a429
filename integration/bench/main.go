// SPDX-License-Identifier: Apache-2.0

// Bench compares mini with runc, crun and a shim that makes no container, side
// by side: every figure is taken of one runtime after the other, again and
// again, so that what else the machine does falls on all of them alike. It
// prints tables of medians and their ratios to runc's, and writes every median
// to a JSON file.
//
// All runtimes get the same spec, which the oldest of them can read. See
// package bed for the surroundings.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd-mini/mini/integration/bed"
)

// options of the command line.
type options struct {
	rounds, pods, seconds int
	json, only, section   string
	built                 bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "n", 60, "rounds of each figure")
	flag.IntVar(&o.pods, "pods", 20, "pods to measure memory at")
	flag.IntVar(&o.seconds, "seconds", 3, "seconds of each figure of throughput")
	flag.StringVar(&o.json, "json", "bench-results.json", "file to write, or nothing")
	flag.StringVar(&o.only, "only", "", "runtimes to measure, with commas between (default: all)")
	flag.StringVar(&o.section, "section", "", "take figures only of sections with this in their title")
	flag.BoolVar(&o.built, "built", false, "measure the shims in bin as they are, and build nothing")
	flag.Parse()
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: needs root")
		os.Exit(2)
	}
	inside, code := bed.Enter(func() error { return prepare(o) })
	if !inside {
		os.Exit(code)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// prepare builds the shims and the C program that are measured.
func prepare(o options) error {
	if o.built {
		return nil
	}
	root, err := bed.Root()
	if err != nil {
		return err
	}
	if err := bed.Build(root, "./cmd/containerd-shim-mini-v2", "bin/containerd-shim-mini-v2"); err != nil {
		return err
	}
	if err := bed.Build(root, "./integration/bench/noopshim", "bin/bench/containerd-shim-noop-v2"); err != nil {
		return err
	}
	if err := buildMiniEngine(root); err != nil {
		return err
	}
	return buildEngine(root)
}

func run(o options) error {
	root, err := bed.Root()
	if err != nil {
		return err
	}
	d, err := bed.Start(context.Background(), bed.Config{Root: root, ShimDirs: []string{filepath.Join(root, "bin/bench")}})
	if err != nil {
		return err
	}
	b := &bench{
		ctx: bed.Context(context.Background()), d: d, root: root, options: o,
		results: map[string]map[string]float64{},
	}
	b.runtimes = contestants(o.only)
	err = b.all()
	if err != nil {
		lines := strings.Split(d.Log(), "\n")
		fmt.Fprintln(os.Stderr, strings.Join(lines[max(0, len(lines)-10):], "\n"))
	}
	if stop := d.Stop(); err == nil {
		err = stop
	}
	return err
}
