// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"slices"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// BenchmarkEngine makes containers of containerd's default spec and runs /bin/true
// in them. Its medians, create-ms until the container waits for its start and
// run-ms until it has exited and its cgroup is removed, are what the C program in
// integration/bench/engine prints for the kernel's part of the same.
func BenchmarkEngine(b *testing.B) {
	testenv.Root(b)
	b.Run("new pid namespace", func(b *testing.B) { benchmarkEngine(b, newSpec(b, "/bin/true")) })
	takes := procfsTakesPIDNS
	b.Cleanup(func() { procfsTakesPIDNS = takes })
	for name, takes := range map[string]bool{"joined": takes(), "joined, before 6.18": false} {
		b.Run(name, func(b *testing.B) {
			procfsTakesPIDNS = func() bool { return takes }
			spec := newSpec(b, "/bin/true")
			joinPID(spec, neighbour(b))
			spec.Linux.CgroupsPath += "-second"
			benchmarkEngine(b, spec)
		})
	}
}

func benchmarkEngine(b *testing.B, spec *specs.Spec) {
	bundle := newBundle(b)
	var creates, runs []time.Duration
	for b.Loop() {
		begin := time.Now()
		c, err := create(b, bundle, spec, nil)
		if err != nil {
			b.Fatal(err)
		}
		creates = append(creates, time.Since(begin))
		if err := c.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Init().Wait(); err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(c.Init().Close(), c.Destroy(b.Context())); err != nil {
			b.Fatal(err)
		}
		runs = append(runs, time.Since(begin))
	}
	b.ReportMetric(median(creates), "create-ms")
	b.ReportMetric(median(runs), "run-ms")
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return d[len(d)/2].Seconds() * 1e3
}

// BenchmarkExec runs /bin/true in a running container, which is in the host's cgroup
// namespace or, as most are, in one of its own.
func BenchmarkExec(b *testing.B) {
	testenv.Root(b)
	b.Run("host's", func(b *testing.B) { benchmarkExec(b, newSpec(b, "sleep", "1000")) })
	b.Run("own", func(b *testing.B) { benchmarkExec(b, cgroupSpec(b, "sleep", "1000")) })
}

func benchmarkExec(b *testing.B, spec *specs.Spec) {
	c := started(b, newBundle(b), spec, nil)
	proc := &specs.Process{Args: []string{"/bin/true"}, Cwd: "/", Env: []string{"PATH=/bin"}}
	for b.Loop() {
		p, err := c.Exec(b.Context(), &ExecConfig{ID: "e", Process: proc})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Wait(); err != nil {
			b.Fatal(err)
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
