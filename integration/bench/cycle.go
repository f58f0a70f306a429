// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
)

// warmup is how many rounds come before those that count.
const warmup = 3

// cycles takes the time of the steps of a container's life.
func (b *bench) cycles(prefix string, change func(*oci.Spec)) error {
	samples := newSamples()
	var containers []client.Container
	for _, r := range b.runtimes {
		c, err := b.container(r, change, "true")
		if err != nil {
			return err
		}
		containers = append(containers, c)
	}
	for round := range warmup + b.options.rounds {
		for i, r := range b.runtimes {
			steps, err := b.cycle(containers[i])
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			if round < warmup {
				continue
			}
			for step, took := range steps {
				samples.add(prefix+step, r.name, milliseconds(took))
			}
		}
	}
	for _, c := range containers {
		if err := c.Delete(b.ctx, client.WithSnapshotCleanup); err != nil {
			return err
		}
	}
	b.report(samples, prefix+"create", prefix+"start", prefix+"exit", prefix+"delete", prefix+"cycle")
	return nil
}

// defaultCycles is cycles of those that can do containerd's default spec. It
// has no seccomp profile unless asked.
func (b *bench) defaultCycles() error {
	return b.ours(func() error { return b.cycles("default ", func(*oci.Spec) {}) })
}

func (b *bench) seccompCycles() error {
	return b.ours(func() error { return b.cycles("seccomp ", seccompSpec) })
}

// ours measures with mini and runc alone.
func (b *bench) ours(measure func() error) error {
	all := b.runtimes
	defer func() { b.runtimes = all }()
	b.runtimes = nil
	for _, r := range all {
		if r.name == "mini" || r.name == "runc" {
			b.runtimes = append(b.runtimes, r)
		}
	}
	return measure()
}

// cycle runs a task from NewTask to Delete.
func (b *bench) cycle(c client.Container) (map[string]time.Duration, error) {
	begin := time.Now()
	task, err := c.NewTask(b.ctx, cio.NullIO)
	if err != nil {
		return nil, err
	}
	created := time.Now()
	exit, err := task.Wait(b.ctx)
	if err != nil {
		return nil, err
	}
	waited := time.Now()
	if err := task.Start(b.ctx); err != nil {
		return nil, err
	}
	started := time.Now()
	if status := <-exit; status.ExitCode() != 0 || status.Error() != nil {
		return nil, fmt.Errorf("exit code %d, %w", status.ExitCode(), status.Error())
	}
	exited := time.Now()
	if _, err := task.Delete(b.ctx); err != nil {
		return nil, err
	}
	end := time.Now()
	return map[string]time.Duration{
		"create": created.Sub(begin), "start": started.Sub(waited), "exit": exited.Sub(started),
		"delete": end.Sub(exited), "cycle": end.Sub(begin),
	}, nil
}

// execs takes the time from Exec to Delete in a container that runs.
func (b *bench) execs(prefix string, change func(*oci.Spec)) error {
	samples := newSamples()
	var runtimes []contestant
	var tasks []client.Task
	for _, r := range b.runtimes {
		if r.noop {
			continue
		}
		task, stop, err := b.running(r, change, cio.NullIO, "sleep", "1000000")
		if err != nil {
			return err
		}
		defer func() { _ = stop() }() // the figures are taken by then
		runtimes, tasks = append(runtimes, r), append(tasks, task)
	}
	for round := range warmup + b.options.rounds {
		for i, r := range runtimes {
			took, err := b.exec(tasks[i], fmt.Sprintf("e%d", round))
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			if round >= warmup {
				samples.add(prefix+"exec", r.name, milliseconds(took))
			}
		}
	}
	b.report(samples, prefix+"exec")
	return nil
}

func (b *bench) exec(task client.Task, id string) (time.Duration, error) {
	spec, err := task.Spec(b.ctx)
	if err != nil {
		return 0, err
	}
	process := spec.Process
	process.Args = []string{"true"}
	begin := time.Now()
	p, err := task.Exec(b.ctx, id, process, cio.NullIO)
	if err != nil {
		return 0, err
	}
	exit, err := p.Wait(b.ctx)
	if err != nil {
		return 0, err
	}
	if err := p.Start(b.ctx); err != nil {
		return 0, err
	}
	if status := <-exit; status.ExitCode() != 0 || status.Error() != nil {
		return 0, fmt.Errorf("exit code %d, %w", status.ExitCode(), status.Error())
	}
	if _, err := p.Delete(b.ctx); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// parallel counts cycles in a second, four at a time.
func (b *bench) parallel() error {
	const lanes = 4
	samples := newSamples()
	for range 3 {
		for _, r := range b.runtimes {
			var containers []client.Container
			for range lanes {
				c, err := b.container(r, plainSpec, "true")
				if err != nil {
					return err
				}
				containers = append(containers, c)
			}
			rate, err := b.rate(containers)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			samples.add("cycles/s", r.name, rate)
			for _, c := range containers {
				if err := c.Delete(b.ctx, client.WithSnapshotCleanup); err != nil {
					return err
				}
			}
		}
	}
	b.report(samples, "cycles/s")
	return nil
}

func (b *bench) rate(containers []client.Container) (float64, error) {
	var wg sync.WaitGroup
	begin := time.Now()
	end := begin.Add(time.Duration(b.options.seconds) * time.Second)
	counts := make([]int, len(containers))
	errs := make([]error, len(containers))
	for i, c := range containers {
		wg.Go(func() {
			for time.Now().Before(end) && errs[i] == nil {
				_, errs[i] = b.cycle(c)
				counts[i]++
			}
		})
	}
	wg.Wait()
	total := 0
	for i := range containers {
		if errs[i] != nil {
			return 0, errs[i]
		}
		total += counts[i]
	}
	return float64(total) / time.Since(begin).Seconds(), nil
}
