// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
)

// ticks of user and system time in a second, as /proc/PID/stat counts them.
const ticks = 100

// throughput reads what a container prints as fast as it can.
func (b *bench) throughput() error {
	samples := newSamples()
	for range 3 {
		for _, r := range b.runtimes {
			if r.noop {
				continue
			}
			if err := b.stream(r, samples); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	b.report(samples, "stdout MB/s", "shim CPU %")
	return nil
}

// stream takes the rate of one container's stdout, and its shim's CPU time.
func (b *bench) stream(r contestant, s samples) error {
	b.count++
	fifo := filepath.Join(b.d.Dir, fmt.Sprintf("stdout-%d", b.count))
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return err
	}
	defer os.Remove(fifo)
	// Open for writing too, so that the open does not wait for the shim.
	out, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var count atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		drain(out, &count)
	}()
	creator := func(string) (cio.IO, error) { return &stdout{config: cio.Config{Stdout: fifo, Stderr: fifo}}, nil }
	task, stop, err := b.running(r, plainSpec, creator, "dd", "if=/dev/zero", "bs=64k")
	if err != nil {
		return err
	}
	shim, err := parent(int(task.Pid()))
	if err != nil {
		return err
	}
	if err := b.watch(r, s, shim, &count); err != nil {
		return err
	}
	err = stop()
	out.Close()
	<-done
	return err
}

// drain reads to the end, counting bytes.
func drain(r io.Reader, count *atomic.Int64) {
	buf := make([]byte, 1<<20)
	for {
		n, err := r.Read(buf)
		count.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// watch takes the rate at which the count grows, and the shim's CPU time.
func (b *bench) watch(r contestant, s samples, shim int, count *atomic.Int64) error {
	time.Sleep(200 * time.Millisecond)
	begin, bytes := time.Now(), count.Load()
	before, err := cpuTime(shim)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(b.options.seconds) * time.Second)
	seconds := time.Since(begin).Seconds()
	s.add("stdout MB/s", r.name, float64(count.Load()-bytes)/1e6/seconds)
	after, err := cpuTime(shim)
	if err != nil {
		return err
	}
	s.add("shim CPU %", r.name, 100*(after-before)/seconds)
	return nil
}

// stdout is the IO of a task whose stdout somebody else reads.
type stdout struct{ config cio.Config }

func (s *stdout) Config() cio.Config { return s.config }
func (s *stdout) Cancel()            {}
func (s *stdout) Wait()              {}
func (s *stdout) Close() error       { return nil }

var _ cio.IO = (*stdout)(nil)

// cpuTime is the user and system time of a process, in seconds.
func cpuTime(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var sum float64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum / ticks, nil
}
