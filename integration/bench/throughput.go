// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
)

// output is a way for a container to print as much as it can.
type output struct {
	name  string
	block string // of dd: what it writes at a time
	file  bool   // to a log file, not a fifo
}

var outputs = []output{
	{name: "stdout", block: "64k"},
	{name: "stdout, lines of 100 bytes", block: "100"},
	{name: "log file", block: "64k", file: true},
	{name: "log file, lines of 100 bytes", block: "100", file: true},
}

// throughput reads what a container prints as fast as it can.
func (b *bench) throughput() error {
	samples := newSamples()
	for range 3 {
		for _, o := range outputs {
			for _, r := range b.runtimes {
				if r.noop {
					continue
				}
				if err := b.stream(r, o, samples); err != nil {
					return fmt.Errorf("%s: %s: %w", r.name, o.name, err)
				}
			}
		}
	}
	var figures []string
	for _, o := range outputs {
		figures = append(figures, o.rate(), o.cpu())
	}
	b.report(samples, figures...)
	return nil
}

func (o output) rate() string { return o.name + " MB/s" }
func (o output) cpu() string  { return o.name + " shim CPU us/MB" }

// stream takes the rate of one container's stdout, and its shim's CPU time.
func (b *bench) stream(r contestant, o output, s samples) error {
	b.count++
	path := filepath.Join(b.d.Dir, fmt.Sprintf("stdout-%d", b.count))
	defer os.Remove(path)
	var count atomic.Int64
	read, config := drainFifo, cio.Config{Stdout: path, Stderr: path}
	if o.file {
		read, config = drainFile, cio.Config{Stdout: "file://" + path, Stderr: "file://" + path}
	}
	end, err := read(path, &count)
	if err != nil {
		return err
	}
	defer end()
	creator := func(string) (cio.IO, error) { return &stdout{config: config}, nil }
	task, stop, err := b.running(r, plainSpec, creator, "dd", "if=/dev/zero", "bs="+o.block)
	if err != nil {
		return err
	}
	shim, err := parent(int(task.Pid()))
	if err != nil {
		return err
	}
	err = b.watch(r, o, s, shim, &count)
	return errors.Join(err, stop())
}

// drainFifo makes a fifo and reads it, counting bytes, until end is called.
func drainFifo(path string, count *atomic.Int64) (end func(), err error) {
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return nil, err
	}
	// Open for writing too, so that the open does not wait for the shim.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<20)
		for {
			n, err := f.Read(buf)
			count.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	return func() { f.Close(); <-done }, nil
}

// drainFile makes a log file and empties it again and again, counting bytes; what comes
// just before each time is not counted.
func drainFile(path string, count *atomic.Int64) (end func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			info, err := f.Stat()
			if err != nil || f.Truncate(0) != nil {
				return
			}
			count.Add(info.Size())
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() { close(stop); <-done; f.Close() }, nil
}

// watch takes the rate at which the count grows, and the shim's CPU time.
func (b *bench) watch(r contestant, o output, s samples, shim int, count *atomic.Int64) error {
	time.Sleep(200 * time.Millisecond)
	begin, bytes := time.Now(), count.Load()
	before, err := runTime(shim)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(b.options.seconds) * time.Second)
	seconds, megabytes := time.Since(begin).Seconds(), float64(count.Load()-bytes)/1e6
	after, err := runTime(shim)
	if err != nil {
		return err
	}
	s.add(o.rate(), r.name, megabytes/seconds)
	s.add(o.cpu(), r.name, float64((after-before).Microseconds())/megabytes)
	return nil
}

// stdout is the IO of a task whose stdout somebody else reads.
type stdout struct{ config cio.Config }

func (s *stdout) Config() cio.Config { return s.config }
func (s *stdout) Cancel()            {}
func (s *stdout) Wait()              {}
func (s *stdout) Close() error       { return nil }

var _ cio.IO = (*stdout)(nil)
