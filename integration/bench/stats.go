// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
)

// statsCalls is how many calls are made of a runtime before it is the turn of the
// next one.
const statsCalls = 10

// measured is a container whose metrics are asked for, and its shim.
type measured struct {
	runtime contestant
	task    client.Task
	shim    int
}

// stats takes the time of Task.Metrics, and what a call costs the shim: CPU time,
// and system calls where strace can be had.
func (b *bench) stats() error {
	samples := newSamples()
	var all []measured
	for _, r := range b.runtimes {
		task, stop, err := b.running(r, plainSpec, cio.NullIO, "sleep", "1000000")
		if err != nil {
			return err
		}
		defer func() { _ = stop() }() // the figures are taken by then
		shim, err := parent(int(task.Pid()))
		if err != nil {
			return err
		}
		all = append(all, measured{r, task, shim})
	}
	for round := range warmup + b.options.rounds {
		for _, m := range all {
			counted := samples
			if round < warmup {
				counted = newSamples()
			}
			if err := b.statsRound(m, counted); err != nil {
				return fmt.Errorf("%s: %w", m.runtime.name, err)
			}
		}
	}
	for _, m := range all {
		if err := b.statsCalls(m, samples); err != nil {
			return fmt.Errorf("%s: %w", m.runtime.name, err)
		}
	}
	b.report(samples, "metrics", "metrics shim CPU", "metrics system calls")
	return nil
}

// statsRound adds the time of each of some calls, and the shim's CPU time for all
// of them.
func (b *bench) statsRound(m measured, s samples) error {
	before, err := runTime(m.shim)
	if err != nil {
		return err
	}
	for range statsCalls {
		begin := time.Now()
		if _, err := m.task.Metrics(b.ctx); err != nil {
			return err
		}
		s.add("metrics", m.runtime.name, milliseconds(time.Since(begin)))
	}
	after, err := runTime(m.shim)
	if err != nil {
		return err
	}
	s.add("metrics shim CPU", m.runtime.name, milliseconds(after-before)/statsCalls)
	return nil
}

// statsCalls adds how many system calls of any kind the shim makes for a call.
func (b *bench) statsCalls(m measured, s samples) error {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil // one figure less
	}
	out := filepath.Join(b.d.Dir, "strace")
	defer func() { _ = os.Remove(out) }() // the daemon's directory goes too
	trace := exec.Command("strace", "-f", "-c", "-U", "calls,name", "-o", out, "-p", strconv.Itoa(m.shim))
	if err := trace.Start(); err != nil {
		return err
	}
	calls := 0
	err := waitTraced(m.shim)
	for ; err == nil && calls < 5*statsCalls; calls++ {
		_, err = m.task.Metrics(b.ctx)
	}
	_ = trace.Process.Signal(syscall.SIGINT) // it is there: not waited for yet
	if wait := trace.Wait(); err != nil {
		return errors.Join(err, wait)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	total := regexp.MustCompile(`(?m)^\s*([0-9]+)\s+total$`).FindSubmatch(data)
	if total == nil {
		return fmt.Errorf("strace counted nothing: %s", data)
	}
	n, err := strconv.ParseFloat(string(total[1]), 64)
	s.add("metrics system calls", m.runtime.name, n/float64(calls))
	return err
}

// waitTraced waits until each thread of a process has a tracer.
func waitTraced(pid int) error {
	for range 1000 {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil {
			return err
		}
		free := 0
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil || strings.Contains(string(data), "TracerPid:\t0\n") {
				free++
			}
		}
		if free == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("strace did not attach to %d", pid)
}

// runTime is how long the threads of a process have run (proc_pid_schedstat(5));
// a thread that ended does not count any more.
func runTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		ran, _, _ := strings.Cut(string(data), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}
